/* base.h - what every other room stands on; knows nothing of speech.
 *     status.h  result codes and error messages        str.h    slices and growable bytes
 *     arena.h   memory with one lifetime               log.h    one line of log
 *     file.h    mapped files, atomic writes, folders   clock.h  monotonic time
 *     pool.h    the worker pool                        cpu.h    what this processor can do
 *     process.h the memory of this process
 * and, for the few who include them by name: half.h half floats, digest.h checksums, sandbox.h what the process may still do.
 * Dependencies: libc and pthreads. */
#ifndef KOE_BASE_BASE_H
#define KOE_BASE_BASE_H
#include "base/arena.h"
#include "base/clock.h"
#include "base/cpu.h"
#include "base/file.h"
#include "base/log.h"
#include "base/pool.h"
#include "base/process.h"
#include "base/status.h"
#include "base/str.h"
#endif
