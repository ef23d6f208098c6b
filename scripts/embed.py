#!/usr/bin/env python3
"""embed.py OUT.c FILE... - C source with the files' bytes, gzip'd ones beside them, as the table koe_pages of src/server/pages.h."""
import gzip, hashlib, pathlib, sys

TYPES = {'.html': 'text/html; charset=utf-8', '.css': 'text/css; charset=utf-8', '.js': 'text/javascript; charset=utf-8'}


def array(name, data):
    rows = (', '.join(str(b) for b in data[i:i + 32]) for i in range(0, len(data), 32))
    return f'static const unsigned char {name}[] = {{\n' + ',\n'.join(rows) + '\n};\n'


out = ['#include "server/pages.h"\n']
rows = []
for i, path in enumerate(map(pathlib.Path, sys.argv[2:])):
    data = path.read_bytes()
    packed = gzip.compress(data, 9, mtime=0)
    out += [array(f'file_{i}', data), array(f'packed_{i}', packed)]
    tag = hashlib.sha256(data).hexdigest()[:16]
    rows.append(f'    {{ "{path.name}", "{TYPES[path.suffix]}", "\\"{tag}\\"", {{ (const char *)file_{i}, {len(data)} }}, {{ (const char *)packed_{i}, {len(packed)} }} }},\n')
out += ['const koe_page koe_pages[] = {\n', *rows, '    { 0 },\n};\n']
pathlib.Path(sys.argv[1]).write_text(''.join(out))
