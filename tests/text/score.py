#!/usr/bin/env python3
"""Prints how near koe's phonemes are to misaki's: phoneme error rate and exact lines for each golden file.

    tests/text/score.py [--show N] [--no-normalize] [LANG ...]

Uses $KOE_BIN (default build/koe), ../shared/g2p-golden and ../shared/lexicon ($KOE_SHARED). Lines marked +quirk, where misaki's own
reading is an oddity, are counted apart.
"""
import os
import pathlib
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parents[2]
SHARED = pathlib.Path(os.environ.get('KOE_SHARED', ROOT.parent / 'shared'))
LANGS = 'en-us en-gb es fr it pt-br hi zh ja'.split()


def distance(a, b):
    row = list(range(len(b) + 1))
    for i, x in enumerate(a):
        new = [i + 1]
        for j, y in enumerate(b):
            new.append(min(row[j] + (x != y), row[j + 1] + 1, new[j] + 1))
        row = new
    return row[-1]


def phonemes(lang, texts, flags):
    with tempfile.TemporaryDirectory() as home:
        os.symlink(SHARED / 'lexicon', os.path.join(home, 'lexicon'))
        env = dict(os.environ, KOE_HOME=home)
        out = subprocess.run([os.environ.get('KOE_BIN', ROOT / 'build/koe'), 'phonemes', '--lang', lang, *flags, '-'],
                             input='\n'.join(texts) + '\n', capture_output=True, text=True, env=env, check=True)
    return out.stdout.split('\n')[:len(texts)]


def score(lang, flags, show):
    rows = [line.split('\t') for line in (SHARED / 'g2p-golden' / (lang + '.tsv')).read_text().splitlines()]
    kinds = (SHARED / 'g2p-golden' / (lang + '.cat')).read_text().splitlines()
    n = exact = wrong = total = quirks = 0
    for (text, want), kind, got in zip(rows, kinds, phonemes(lang, [r[0] for r in rows], flags)):
        want, got = want.strip(), got.strip()
        if '+quirk' in kind:
            quirks += 1
            continue
        n += 1
        exact += want == got
        total += len(want)
        if want != got:
            wrong += distance(got, want)
            if show > 0:
                show -= 1
                print('%s\n  text %s\n  want %s\n  got  %s' % (kind, text, want, got))
    print('%-6s %5d lines  %6.2f %% exact  PER %6.3f %%  (%d +quirk lines apart)' % (lang, n, 100 * exact / n, 100 * wrong / total, quirks))


def heteronyms(flags):
    rows = [line.split('\t') for line in (SHARED / 'g2p-golden/en-us.heteronyms.tsv').read_text().splitlines()]
    right = 0
    for (text, word, want, _), got in zip(rows, phonemes('en-us', [r[0] for r in rows], flags)):
        at = [w.strip('.,!?;:"').lower() for w in text.split(' ')].index(word.lower())
        right += got.split(' ')[at].strip('.,!?;:“”') == want
    print('heteronyms %d of %d right, %.1f %%' % (right, len(rows), 100 * right / len(rows)))


def main(args):
    show, flags, langs = 0, [], []
    while args:
        arg = args.pop(0)
        if arg == '--show':
            show = int(args.pop(0))
        elif arg == '--no-normalize':
            flags.append(arg)
        else:
            langs.append(arg)
    for lang in langs or LANGS:
        score(lang, flags, show)
    if not langs:
        heteronyms(flags)


main(sys.argv[1:])
