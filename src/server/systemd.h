/* systemd.h - what a supervisor tells us and wants to hear: sd_notify(3), sd_listen_fds(3), without the library. */
#ifndef KOE_SERVER_SYSTEMD_H
#define KOE_SERVER_SYSTEMD_H
#include <stdbool.h>
#include <stdint.h>

/* Sends the lines ("READY=1") to $NOTIFY_SOCKET, where there is one. */
void koe_systemd_notify(const char *text);
/* RELOADING=1 with the time, as Type=notify-reload wants it; READY=1 ends it. */
void koe_systemd_reloading(void);
/* A listening socket that was opened for us; -1: none. What says so is taken out of the environment: it is not our children's. */
int koe_systemd_socket(void);
/* Milliseconds between WATCHDOG=1; 0: nobody waits for it. */
int64_t koe_systemd_watchdog_ms(void);
#endif
