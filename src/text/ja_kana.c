/* ja_kana.c - kana and Japanese punctuation in Kokoro's symbols: the table of misaki's cutlet.py (Apache-2.0), adapted there from
 * polm/cutlet (MIT). A line: one or two kana, a tab, symbols. */
#include "text/ja.h"

const char koe_ja_kana[] =
    "ぁ\ta\nあ\ta\nぃ\ti\nい\ti\nぅ\tɯ\nう\tɯ\nぇ\te\nえ\te\nぉ\to\nお\to\nか\tka\nが\tɡa\nき\tkʲi\nぎ\tɡʲi\nく\tkɯ\nぐ\tɡɯ\nけ\tke\n"
    "げ\tɡe\nこ\tko\nご\tɡo\nさ\tsa\nざ\tʣa\nし\tɕi\nじ\tʥi\nす\tsɨ\nず\tzɨ\nせ\tse\nぜ\tʣe\nそ\tso\nぞ\tʣo\nた\tta\nだ\tda\nち\tʨi\n"
    "ぢ\tʥi\nつ\tʦɨ\nづ\tzɨ\nて\tte\nで\tde\nと\tto\nど\tdo\nな\tna\nに\tɲi\nぬ\tnɯ\nね\tne\nの\tno\nは\tha\nば\tba\nぱ\tpa\nひ\tçi\n"
    "び\tbʲi\nぴ\tpʲi\nふ\tɸɯ\nぶ\tbɯ\nぷ\tpɯ\nへ\the\nべ\tbe\nぺ\tpe\nほ\tho\nぼ\tbo\nぽ\tpo\nま\tma\nみ\tmʲi\nむ\tmɯ\nめ\tme\nも\tmo\n"
    "ゃ\tja\nや\tja\nゅ\tjɯ\nゆ\tjɯ\nょ\tjo\nよ\tjo\nら\tɾa\nり\tɾʲi\nる\tɾɯ\nれ\tɾe\nろ\tɾo\nゎ\tβa\nわ\tβa\nゐ\ti\nゑ\te\nを\to\n"
    "ゔ\tvɯ\nゕ\tka\nゖ\tke\nヷ\tva\nヸ\tvʲi\nヹ\tve\nヺ\tvo\nいぇ\tje\nうぃ\tβi\nうぇ\tβe\nうぉ\tβo\nきぇ\tkʲe\nきゃ\tkʲa\nきゅ\tkʲɨ\n"
    "きょ\tkʲo\nぎゃ\tɡʲa\nぎゅ\tɡʲɨ\nぎょ\tɡʲo\nくぁ\tkᵝa\nくぃ\tkᵝi\nくぇ\tkᵝe\nくぉ\tkᵝo\nぐぁ\tɡᵝa\nぐぃ\tɡᵝi\nぐぇ\tɡᵝe\nぐぉ\tɡᵝo\n"
    "しぇ\tɕe\nしゃ\tɕa\nしゅ\tɕɨ\nしょ\tɕo\nじぇ\tʥe\nじゃ\tʥa\nじゅ\tʥɨ\nじょ\tʥo\nちぇ\tʨe\nちゃ\tʨa\nちゅ\tʨɨ\nちょ\tʨo\nぢゃ\tʥa\nぢゅ\tʥɨ\n"
    "ぢょ\tʥo\nつぁ\tʦa\nつぃ\tʦʲi\nつぇ\tʦe\nつぉ\tʦo\nてぃ\ttʲi\nてゅ\ttʲɨ\nでぃ\tdʲi\nでゅ\tdʲɨ\nとぅ\ttɯ\nどぅ\tdɯ\nにぇ\tɲe\nにゃ\tɲa\n"
    "にゅ\tɲɨ\nにょ\tɲo\nひぇ\tçe\nひゃ\tça\nひゅ\tçɨ\nひょ\tço\nびゃ\tbʲa\nびゅ\tbʲɨ\nびょ\tbʲo\nぴゃ\tpʲa\nぴゅ\tpʲɨ\nぴょ\tpʲo\nふぁ\tɸa\n"
    "ふぃ\tɸʲi\nふぇ\tɸe\nふぉ\tɸo\nふゅ\tɸʲɨ\nふょ\tɸʲo\nみゃ\tmʲa\nみゅ\tmʲɨ\nみょ\tmʲo\nりゃ\tɾʲa\nりゅ\tɾʲɨ\nりょ\tɾʲo\nゔぁ\tva\nゔぃ\tvʲi\n"
    "ゔぇ\tve\nゔぉ\tvo\nゔゅ\tbʲɨ\nゔょ\tbʲo\n。\t.\n、\t,\n？\t?\n！\t!\n「\t“\n」\t”\n『\t“\n』\t”\n：\t:\n；\t;\n（\t(\n）\t)\n《\t(\n"
    "》\t)\n【\t[\n】\t]\n・\t \n，\t,\n～\t—\n〜\t—\n—\t—\n«\t“\n»\t”\n゚\t\n゙\t\n";
