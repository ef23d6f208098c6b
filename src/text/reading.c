/* reading.c - the tables of Spanish, French, Italian, Portuguese and Hindi. */
#include "text/reading.h"

/* ---- Spanish ---- */

static const koe_counted es_units[] = { { "km/h", "kilómetro por hora", "kilómetros por hora", 'm' }, { "m/s", "metro por segundo", "metros por segundo", 'm' },
    { "km²", "kilómetro cuadrado", "kilómetros cuadrados", 'm' }, { "m²", "metro cuadrado", "metros cuadrados", 'm' },
    { "m³", "metro cúbico", "metros cúbicos", 'm' }, { "cm²", "centímetro cuadrado", "centímetros cuadrados", 'm' },
    { "km", "kilómetro", "kilómetros", 'm' }, { "m", "metro", "metros", 'm' }, { "cm", "centímetro", "centímetros", 'm' }, { "mm", "milímetro", "milímetros", 'm' },
    { "kg", "kilo", "kilos", 'm' }, { "g", "gramo", "gramos", 'm' }, { "mg", "miligramo", "miligramos", 'm' }, { "t", "tonelada", "toneladas", 'f' },
    { "l", "litro", "litros", 'm' }, { "L", "litro", "litros", 'm' }, { "ml", "mililitro", "mililitros", 'm' }, { "cl", "centilitro", "centilitros", 'm' },
    { "ha", "hectárea", "hectáreas", 'f' }, { "h", "hora", "horas", 'f' }, { "min", "minuto", "minutos", 'm' }, { "s", "segundo", "segundos", 'm' },
    { "kWh", "kilovatio hora", "kilovatios hora", 'm' }, { "kW", "kilovatio", "kilovatios", 'm' }, { "W", "vatio", "vatios", 'm' }, { "V", "voltio", "voltios", 'm' },
    { "Hz", "hercio", "hercios", 'm' }, { "GHz", "gigahercio", "gigahercios", 'm' }, { "MHz", "megahercio", "megahercios", 'm' },
    { "GB", "gigabyte", "gigabytes", 'm' }, { "MB", "megabyte", "megabytes", 'm' }, { "TB", "terabyte", "terabytes", 'm' }, { "KB", "kilobyte", "kilobytes", 'm' },
    { "°C", "grado Celsius", "grados Celsius", 'm' }, { "ºC", "grado Celsius", "grados Celsius", 'm' }, { "°F", "grado Fahrenheit", "grados Fahrenheit", 'm' },
    { "°", "grado", "grados", 'm' }, { "dB", "decibelio", "decibelios", 'm' }, { 0 } };
static const koe_coin es_coins[] = { { "€", "EUR", "euro", "euros", 'm', "céntimo", "céntimos", 'm' }, { "$", "USD", "dólar", "dólares", 'm', "centavo", "centavos", 'm' },
    { "US$", "USD", "dólar", "dólares", 'm', "centavo", "centavos", 'm' }, { "£", "GBP", "libra", "libras", 'f', "penique", "peniques", 'm' },
    { "¥", "JPY", "yen", "yenes", 'm', NULL, NULL, 0 }, { "MXN", "MXN", "peso mexicano", "pesos mexicanos", 'm', "centavo", "centavos", 'm' },
    { "R$", "BRL", "real", "reales", 'm', "centavo", "centavos", 'm' }, { "CHF", "CHF", "franco suizo", "francos suizos", 'm', NULL, NULL, 0 }, { 0 } };
static const koe_word_pair es_shorts[] = { { "Sr.", "señor" }, { "Sra.", "señora" }, { "Srta.", "señorita" }, { "Sres.", "señores" }, { "Dr.", "doctor" },
    { "Dra.", "doctora" }, { "D.", "don" }, { "Dña.", "doña" }, { "Ud.", "usted" }, { "Uds.", "ustedes" }, { "Vd.", "usted" }, { "etc.", "etcétera" },
    { "p. ej.", "por ejemplo" }, { "p.ej.", "por ejemplo" }, { "EE. UU.", "Estados Unidos" }, { "EE.UU.", "Estados Unidos" }, { "pág.", "página" },
    { "págs.", "páginas" }, { "núm.", "número" }, { "n.º", "número" }, { "nº", "número" }, { "Av.", "avenida" }, { "Avda.", "avenida" }, { "C/", "calle" },
    { "tel.", "teléfono" }, { "Tel.", "teléfono" }, { "aprox.", "aproximadamente" }, { "a. C.", "antes de Cristo" }, { "a.C.", "antes de Cristo" },
    { "d. C.", "después de Cristo" }, { "d.C.", "después de Cristo" }, { "cap.", "capítulo" }, { "vol.", "volumen" }, { "Prof.", "profesor" }, { "Gral.", "general" },
    { "Sto.", "santo" }, { "Sta.", "santa" }, { "Cía.", "compañía" }, { 0 } };
static const koe_word_pair es_signs[] = { { "&", "y" }, { "+", "más" }, { "=", "igual a" }, { "×", "por" }, { "÷", "entre" }, { "<", "menor que" }, { ">", "mayor que" },
    { "±", "más menos" }, { "≈", "aproximadamente" }, { "≠", "distinto de" }, { "≤", "menor o igual que" }, { "≥", "mayor o igual que" }, { "§", "párrafo" },
    { "©", "copyright" }, { "™", "marca registrada" }, { "®", "marca registrada" }, { "√", "raíz de" }, { "→", "flecha" }, { 0 } };
static const koe_word_pair es_address[] = { { ".", "punto" }, { "/", "barra" }, { "-", "guion" }, { "_", "guion bajo" }, { "@", "arroba" }, { ":", "dos puntos" },
    { "?", "interrogación" }, { "=", "igual" }, { "&", "y" }, { "#", "almohadilla" }, { "%", "por ciento" }, { "+", "más" }, { 0 } };
static const koe_word_pair es_fractions[] = { { "½", "medio" }, { "⅓", "un tercio" }, { "⅔", "dos tercios" }, { "¼", "un cuarto" }, { "¾", "tres cuartos" }, { 0 } };
static const koe_ordinal_mark es_ordinals[] = { { ".er", 'b' }, { ".º", 'm' }, { ".ª", 'f' }, { "er", 'b' }, { "º", 'm' }, { "ª", 'f' }, { 0 } };

/* ---- French ---- */

static const koe_counted fr_units[] = { { "km/h", "kilomètre heure", "kilomètres heure", 'm' }, { "m/s", "mètre par seconde", "mètres par seconde", 'm' },
    { "km²", "kilomètre carré", "kilomètres carrés", 'm' }, { "m²", "mètre carré", "mètres carrés", 'm' }, { "m³", "mètre cube", "mètres cubes", 'm' },
    { "cm²", "centimètre carré", "centimètres carrés", 'm' }, { "km", "kilomètre", "kilomètres", 'm' }, { "m", "mètre", "mètres", 'm' },
    { "cm", "centimètre", "centimètres", 'm' }, { "mm", "millimètre", "millimètres", 'm' }, { "kg", "kilo", "kilos", 'm' }, { "g", "gramme", "grammes", 'm' },
    { "mg", "milligramme", "milligrammes", 'm' }, { "t", "tonne", "tonnes", 'f' }, { "l", "litre", "litres", 'm' }, { "L", "litre", "litres", 'm' },
    { "ml", "millilitre", "millilitres", 'm' }, { "cl", "centilitre", "centilitres", 'm' }, { "ha", "hectare", "hectares", 'm' },
    { "min", "minute", "minutes", 'f' }, { "s", "seconde", "secondes", 'f' }, { "kWh", "kilowatt-heure", "kilowatts-heures", 'm' }, { "kW", "kilowatt", "kilowatts", 'm' },
    { "W", "watt", "watts", 'm' }, { "V", "volt", "volts", 'm' }, { "Hz", "hertz", "hertz", 'm' }, { "GHz", "gigahertz", "gigahertz", 'm' },
    { "MHz", "mégahertz", "mégahertz", 'm' }, { "Go", "gigaoctet", "gigaoctets", 'm' }, { "Mo", "mégaoctet", "mégaoctets", 'm' }, { "Ko", "kilooctet", "kilooctets", 'm' },
    { "To", "téraoctet", "téraoctets", 'm' }, { "GB", "gigaoctet", "gigaoctets", 'm' }, { "MB", "mégaoctet", "mégaoctets", 'm' },
    { "°C", "degré Celsius", "degrés Celsius", 'm' }, { "°F", "degré Fahrenheit", "degrés Fahrenheit", 'm' }, { "°", "degré", "degrés", 'm' },
    { "dB", "décibel", "décibels", 'm' }, { 0 } };
static const koe_coin fr_coins[] = { { "€", "EUR", "euro", "euros", 'm', "centime", "centimes", 'm' }, { "$", "USD", "dollar", "dollars", 'm', "cent", "cents", 'm' },
    { "US$", "USD", "dollar", "dollars", 'm', "cent", "cents", 'm' }, { "£", "GBP", "livre", "livres", 'f', "penny", "pence", 'm' },
    { "¥", "JPY", "yen", "yens", 'm', NULL, NULL, 0 }, { "CHF", "CHF", "franc suisse", "francs suisses", 'm', "centime", "centimes", 'm' }, { 0 } };
static const koe_word_pair fr_shorts[] = { { "M.", "monsieur" }, { "MM.", "messieurs" }, { "Mme", "madame" }, { "Mmes", "mesdames" }, { "Mlle", "mademoiselle" },
    { "Mlles", "mesdemoiselles" }, { "Dr", "docteur" }, { "Pr", "professeur" }, { "Me", "maître" }, { "St", "saint" }, { "Ste", "sainte" }, { "etc.", "et cetera" },
    { "p. ex.", "par exemple" }, { "p.ex.", "par exemple" }, { "c.-à-d.", "c'est-à-dire" }, { "av. J.-C.", "avant Jésus-Christ" },
    { "apr. J.-C.", "après Jésus-Christ" }, { "n°", "numéro" }, { "nº", "numéro" }, { "N°", "numéro" }, { "bd", "boulevard" }, { "Bd", "boulevard" },
    { "av.", "avenue" }, { "tél.", "téléphone" }, { "Tél.", "téléphone" }, { "env.", "environ" }, { "chap.", "chapitre" }, { "vol.", "volume" }, { "Cie", "compagnie" },
    { "s.v.p.", "s'il vous plaît" }, { "svp", "s'il vous plaît" }, { "RDV", "rendez-vous" }, { 0 } };
static const koe_word_pair fr_signs[] = { { "&", "et" }, { "+", "plus" }, { "=", "égale" }, { "×", "fois" }, { "÷", "divisé par" }, { "<", "inférieur à" },
    { ">", "supérieur à" }, { "±", "plus ou moins" }, { "≈", "environ" }, { "≠", "différent de" }, { "≤", "inférieur ou égal à" }, { "≥", "supérieur ou égal à" },
    { "§", "paragraphe" }, { "©", "copyright" }, { "™", "marque déposée" }, { "®", "marque déposée" }, { "√", "racine de" }, { "→", "flèche" }, { 0 } };
static const koe_word_pair fr_address[] = { { ".", "point" }, { "/", "slash" }, { "-", "tiret" }, { "_", "tiret bas" }, { "@", "arobase" }, { ":", "deux points" },
    { "?", "point d'interrogation" }, { "=", "égale" }, { "&", "et" }, { "#", "dièse" }, { "%", "pour cent" }, { "+", "plus" }, { 0 } };
static const koe_word_pair fr_fractions[] = { { "½", "un demi" }, { "⅓", "un tiers" }, { "⅔", "deux tiers" }, { "¼", "un quart" }, { "¾", "trois quarts" }, { 0 } };
static const koe_ordinal_mark fr_ordinals[] = { { "ères", 'f' }, { "ère", 'f' }, { "ers", 'm' }, { "er", 'm' }, { "res", 'f' }, { "re", 'f' }, { "ème", 'm' },
    { "èmes", 'm' }, { "nd", 'm' }, { "nde", 'f' }, { "es", 'm' }, { "e", 'm' }, { 0 } };

/* ---- Italian ---- */

static const koe_counted it_units[] = { { "km/h", "chilometro orario", "chilometri orari", 'm' }, { "m/s", "metro al secondo", "metri al secondo", 'm' },
    { "km²", "chilometro quadrato", "chilometri quadrati", 'm' }, { "m²", "metro quadrato", "metri quadrati", 'm' }, { "mq", "metro quadrato", "metri quadrati", 'm' },
    { "m³", "metro cubo", "metri cubi", 'm' }, { "cm²", "centimetro quadrato", "centimetri quadrati", 'm' }, { "km", "chilometro", "chilometri", 'm' },
    { "m", "metro", "metri", 'm' }, { "cm", "centimetro", "centimetri", 'm' }, { "mm", "millimetro", "millimetri", 'm' }, { "kg", "chilo", "chili", 'm' },
    { "g", "grammo", "grammi", 'm' }, { "mg", "milligrammo", "milligrammi", 'm' }, { "t", "tonnellata", "tonnellate", 'f' }, { "l", "litro", "litri", 'm' },
    { "L", "litro", "litri", 'm' }, { "ml", "millilitro", "millilitri", 'm' }, { "cl", "centilitro", "centilitri", 'm' }, { "ha", "ettaro", "ettari", 'm' },
    { "h", "ora", "ore", 'f' }, { "min", "minuto", "minuti", 'm' }, { "s", "secondo", "secondi", 'm' }, { "kWh", "chilowattora", "chilowattora", 'm' },
    { "kW", "chilowatt", "chilowatt", 'm' }, { "W", "watt", "watt", 'm' }, { "V", "volt", "volt", 'm' }, { "Hz", "hertz", "hertz", 'm' },
    { "GHz", "gigahertz", "gigahertz", 'm' }, { "MHz", "megahertz", "megahertz", 'm' }, { "GB", "gigabyte", "gigabyte", 'm' }, { "MB", "megabyte", "megabyte", 'm' },
    { "TB", "terabyte", "terabyte", 'm' }, { "KB", "kilobyte", "kilobyte", 'm' }, { "°C", "grado Celsius", "gradi Celsius", 'm' },
    { "°F", "grado Fahrenheit", "gradi Fahrenheit", 'm' }, { "°", "grado", "gradi", 'm' }, { "dB", "decibel", "decibel", 'm' }, { 0 } };
static const koe_coin it_coins[] = { { "€", "EUR", "euro", "euro", 'm', "centesimo", "centesimi", 'm' }, { "$", "USD", "dollaro", "dollari", 'm', "centesimo", "centesimi", 'm' },
    { "US$", "USD", "dollaro", "dollari", 'm', "centesimo", "centesimi", 'm' }, { "£", "GBP", "sterlina", "sterline", 'f', "penny", "pence", 'm' },
    { "¥", "JPY", "yen", "yen", 'm', NULL, NULL, 0 }, { "CHF", "CHF", "franco svizzero", "franchi svizzeri", 'm', "centesimo", "centesimi", 'm' }, { 0 } };
static const koe_word_pair it_shorts[] = { { "Sig.", "signor" }, { "Sig.ra", "signora" }, { "Sig.na", "signorina" }, { "sig.", "signor" }, { "sig.ra", "signora" },
    { "Sigg.", "signori" }, { "Dott.", "dottor" }, { "dott.", "dottor" }, { "Dott.ssa", "dottoressa" }, { "dott.ssa", "dottoressa" }, { "Dr.", "dottor" },
    { "Prof.", "professor" }, { "prof.", "professor" }, { "Prof.ssa", "professoressa" }, { "Ing.", "ingegner" }, { "Avv.", "avvocato" }, { "ecc.", "eccetera" },
    { "p. es.", "per esempio" }, { "p.es.", "per esempio" }, { "ad es.", "ad esempio" }, { "pag.", "pagina" }, { "pagg.", "pagine" },
    { "n°", "numero" }, { "nº", "numero" }, { "tel.", "telefono" }, { "Tel.", "telefono" }, { "cap.", "capitolo" }, { "vol.", "volume" }, { "a.C.", "avanti Cristo" },
    { "d.C.", "dopo Cristo" }, { "S.", "San" }, { "V.le", "viale" }, { "P.zza", "piazza" }, { "C.so", "corso" }, { "ca.", "circa" }, { 0 } };
static const koe_word_pair it_signs[] = { { "&", "e" }, { "+", "più" }, { "=", "uguale" }, { "×", "per" }, { "÷", "diviso" }, { "<", "minore di" }, { ">", "maggiore di" },
    { "±", "più o meno" }, { "≈", "circa" }, { "≠", "diverso da" }, { "≤", "minore o uguale a" }, { "≥", "maggiore o uguale a" }, { "§", "paragrafo" },
    { "©", "copyright" }, { "™", "marchio registrato" }, { "®", "marchio registrato" }, { "√", "radice di" }, { "→", "freccia" }, { 0 } };
static const koe_word_pair it_address[] = { { ".", "punto" }, { "/", "barra" }, { "-", "trattino" }, { "_", "trattino basso" }, { "@", "chiocciola" },
    { ":", "due punti" }, { "?", "punto interrogativo" }, { "=", "uguale" }, { "&", "e" }, { "#", "cancelletto" }, { "%", "per cento" }, { "+", "più" }, { 0 } };
static const koe_word_pair it_fractions[] = { { "½", "mezzo" }, { "⅓", "un terzo" }, { "⅔", "due terzi" }, { "¼", "un quarto" }, { "¾", "tre quarti" }, { 0 } };
static const koe_ordinal_mark it_ordinals[] = { { "º", 'm' }, { "ª", 'f' }, { 0 } };

/* ---- Portuguese ---- */

static const koe_counted pt_units[] = { { "km/h", "quilômetro por hora", "quilômetros por hora", 'm' }, { "m/s", "metro por segundo", "metros por segundo", 'm' },
    { "km²", "quilômetro quadrado", "quilômetros quadrados", 'm' }, { "m²", "metro quadrado", "metros quadrados", 'm' },
    { "m³", "metro cúbico", "metros cúbicos", 'm' }, { "cm²", "centímetro quadrado", "centímetros quadrados", 'm' }, { "km", "quilômetro", "quilômetros", 'm' },
    { "m", "metro", "metros", 'm' }, { "cm", "centímetro", "centímetros", 'm' }, { "mm", "milímetro", "milímetros", 'm' }, { "kg", "quilo", "quilos", 'm' },
    { "g", "grama", "gramas", 'm' }, { "mg", "miligrama", "miligramas", 'm' }, { "t", "tonelada", "toneladas", 'f' }, { "l", "litro", "litros", 'm' },
    { "L", "litro", "litros", 'm' }, { "ml", "mililitro", "mililitros", 'm' }, { "cl", "centilitro", "centilitros", 'm' }, { "ha", "hectare", "hectares", 'm' },
    { "h", "hora", "horas", 'f' }, { "min", "minuto", "minutos", 'm' }, { "s", "segundo", "segundos", 'm' }, { "kWh", "quilowatt-hora", "quilowatts-hora", 'm' },
    { "kW", "quilowatt", "quilowatts", 'm' }, { "W", "watt", "watts", 'm' }, { "V", "volt", "volts", 'm' }, { "Hz", "hertz", "hertz", 'm' },
    { "GHz", "gigahertz", "gigahertz", 'm' }, { "MHz", "megahertz", "megahertz", 'm' }, { "GB", "gigabyte", "gigabytes", 'm' }, { "MB", "megabyte", "megabytes", 'm' },
    { "TB", "terabyte", "terabytes", 'm' }, { "KB", "kilobyte", "kilobytes", 'm' }, { "°C", "grau Celsius", "graus Celsius", 'm' },
    { "ºC", "grau Celsius", "graus Celsius", 'm' }, { "°F", "grau Fahrenheit", "graus Fahrenheit", 'm' }, { "°", "grau", "graus", 'm' },
    { "dB", "decibel", "decibéis", 'm' }, { 0 } };
static const koe_coin pt_coins[] = { { "R$", "BRL", "real", "reais", 'm', "centavo", "centavos", 'm' }, { "€", "EUR", "euro", "euros", 'm', "centavo", "centavos", 'm' },
    { "$", "USD", "dólar", "dólares", 'm', "centavo", "centavos", 'm' }, { "US$", "USD", "dólar", "dólares", 'm', "centavo", "centavos", 'm' },
    { "£", "GBP", "libra", "libras", 'f', "pêni", "pence", 'm' }, { "¥", "JPY", "iene", "ienes", 'm', NULL, NULL, 0 },
    { "CHF", "CHF", "franco suíço", "francos suíços", 'm', NULL, NULL, 0 }, { 0 } };
static const koe_word_pair pt_shorts[] = { { "Sr.", "senhor" }, { "Sra.", "senhora" }, { "Srta.", "senhorita" }, { "Srs.", "senhores" }, { "Dr.", "doutor" },
    { "Dra.", "doutora" }, { "Prof.", "professor" }, { "Profa.", "professora" }, { "Exmo.", "excelentíssimo" }, { "Exma.", "excelentíssima" }, { "etc.", "etcétera" },
    { "p. ex.", "por exemplo" }, { "p.ex.", "por exemplo" }, { "pág.", "página" }, { "págs.", "páginas" }, { "nº", "número" }, { "n.º", "número" }, { "n°", "número" },
    { "Av.", "avenida" }, { "R.", "rua" }, { "tel.", "telefone" }, { "Tel.", "telefone" }, { "cap.", "capítulo" }, { "vol.", "volume" }, { "a.C.", "antes de Cristo" },
    { "a. C.", "antes de Cristo" }, { "d.C.", "depois de Cristo" }, { "d. C.", "depois de Cristo" }, { "Sto.", "santo" }, { "Sta.", "santa" }, { "Cia.", "companhia" },
    { "aprox.", "aproximadamente" }, { "V. Exa.", "vossa excelência" }, { 0 } };
static const koe_word_pair pt_signs[] = { { "&", "e" }, { "+", "mais" }, { "=", "igual a" }, { "×", "vezes" }, { "÷", "dividido por" }, { "<", "menor que" },
    { ">", "maior que" }, { "±", "mais ou menos" }, { "≈", "aproximadamente" }, { "≠", "diferente de" }, { "≤", "menor ou igual a" }, { "≥", "maior ou igual a" },
    { "§", "parágrafo" }, { "©", "copyright" }, { "™", "marca registrada" }, { "®", "marca registrada" }, { "√", "raiz de" }, { "→", "seta" }, { 0 } };
static const koe_word_pair pt_address[] = { { ".", "ponto" }, { "/", "barra" }, { "-", "hífen" }, { "_", "sublinhado" }, { "@", "arroba" }, { ":", "dois pontos" },
    { "?", "interrogação" }, { "=", "igual" }, { "&", "e" }, { "#", "cerquilha" }, { "%", "por cento" }, { "+", "mais" }, { 0 } };
static const koe_word_pair pt_fractions[] = { { "½", "meio" }, { "⅓", "um terço" }, { "⅔", "dois terços" }, { "¼", "um quarto" }, { "¾", "três quartos" }, { 0 } };
static const koe_ordinal_mark pt_ordinals[] = { { ".º", 'm' }, { ".ª", 'f' }, { "º", 'm' }, { "ª", 'f' }, { 0 } };

/* ---- Hindi ---- */

static const koe_counted hi_units[] = { { "km/h", "किलोमीटर प्रति घंटा", "किलोमीटर प्रति घंटा", 'm' }, { "किमी/घंटा", "किलोमीटर प्रति घंटा", "किलोमीटर प्रति घंटा", 'm' },
    { "km", "किलोमीटर", "किलोमीटर", 'm' }, { "किमी", "किलोमीटर", "किलोमीटर", 'm' }, { "कि.मी.", "किलोमीटर", "किलोमीटर", 'm' }, { "m", "मीटर", "मीटर", 'm' },
    { "cm", "सेंटीमीटर", "सेंटीमीटर", 'm' }, { "सेमी", "सेंटीमीटर", "सेंटीमीटर", 'm' }, { "mm", "मिलीमीटर", "मिलीमीटर", 'm' }, { "m²", "वर्ग मीटर", "वर्ग मीटर", 'm' },
    { "km²", "वर्ग किलोमीटर", "वर्ग किलोमीटर", 'm' }, { "kg", "किलो", "किलो", 'm' }, { "किग्रा", "किलोग्राम", "किलोग्राम", 'm' }, { "g", "ग्राम", "ग्राम", 'm' },
    { "mg", "मिलीग्राम", "मिलीग्राम", 'm' }, { "l", "लीटर", "लीटर", 'm' }, { "L", "लीटर", "लीटर", 'm' }, { "ml", "मिलीलीटर", "मिलीलीटर", 'm' },
    { "GB", "गीगाबाइट", "गीगाबाइट", 'm' }, { "MB", "मेगाबाइट", "मेगाबाइट", 'm' }, { "kW", "किलोवाट", "किलोवाट", 'm' }, { "Hz", "हर्ट्ज़", "हर्ट्ज़", 'm' },
    { "°C", "डिग्री सेल्सियस", "डिग्री सेल्सियस", 'm' }, { "°F", "डिग्री फ़ारेनहाइट", "डिग्री फ़ारेनहाइट", 'm' }, { "°", "डिग्री", "डिग्री", 'm' }, { 0 } };
static const koe_coin hi_coins[] = { { "₹", "INR", "रुपया", "रुपये", 'm', "पैसा", "पैसे", 'm' }, { "रु.", "INR", "रुपया", "रुपये", 'm', "पैसा", "पैसे", 'm' },
    { "$", "USD", "डॉलर", "डॉलर", 'm', "सेंट", "सेंट", 'm' }, { "€", "EUR", "यूरो", "यूरो", 'm', "सेंट", "सेंट", 'm' }, { "£", "GBP", "पाउंड", "पाउंड", 'm', "पेंस", "पेंस", 'm' },
    { "¥", "JPY", "येन", "येन", 'm', NULL, NULL, 0 }, { 0 } };
static const koe_word_pair hi_shorts[] = { { "डॉ.", "डॉक्टर" }, { "प्रो.", "प्रोफ़ेसर" }, { "पं.", "पंडित" }, { "श्री.", "श्री" }, { "सं.", "संख्या" }, { "पृ.", "पृष्ठ" }, { "ई.पू.", "ईसा पूर्व" },
    { 0 } };
static const koe_word_pair hi_signs[] = { { "&", "और" }, { "+", "धन" }, { "=", "बराबर" }, { "×", "गुणा" }, { "÷", "भाग" }, { "<", "से कम" }, { ">", "से ज़्यादा" },
    { "±", "धन ऋण" }, { "©", "कॉपीराइट" }, { "™", "ट्रेडमार्क" }, { "®", "पंजीकृत" }, { 0 } };
static const koe_word_pair hi_address[] = { { ".", "डॉट" }, { "/", "स्लैश" }, { "-", "डैश" }, { "_", "अंडरस्कोर" }, { "@", "ऐट" }, { ":", "कोलन" }, { "?", "प्रश्न चिह्न" },
    { "=", "बराबर" }, { "&", "और" }, { "#", "हैश" }, { "%", "प्रतिशत" }, { "+", "प्लस" }, { 0 } };
static const koe_word_pair hi_fractions[] = { { "½", "आधा" }, { "¼", "चौथाई" }, { "¾", "तीन चौथाई" }, { 0 } };
static const koe_ordinal_mark hi_ordinals[] = { { "वाँ", 'm' }, { "वां", 'm' }, { "वीं", 'f' }, { "वी", 'f' }, { 0 } };

/* ---- the languages ---- */

static const koe_reading readings[KOE_READING_COUNT] = {
    { .tag = "es", .locale = "es", .decimal = ',', .group = '.', .point = "coma", .minus = "menos", .plus = "más", .to = "a", .number = "número",
        .months = " enero febrero marzo abril mayo junio julio agosto septiembre octubre noviembre diciembre ", .date = "d de m de y", .hour_gender = 'f',
        .minutes_join = " y ", .full_hour = "en punto", .hour_mark = "", .money_join = "con", .name_cents = true,
        .magnitude = { { "millones", "millones" }, { "millón", "millón" }, { "mil", "mil" }, { "K", "mil" }, { "k", "mil" }, { "M", "millones" } }, .of = "de",
        .unit = es_units, .coin = es_coins, .shorts = es_shorts, .sign = es_signs, .address = es_address, .fraction = es_fractions, .ordinal = es_ordinals,
        .numbered = " siglo siglos capítulo tomo volumen acto parte título libro canto fase ",
        .ruled = " Alfonso Felipe Carlos Fernando Luis Enrique Juan Pablo Pedro Isabel Benedicto Pío León Gregorio Francisco Jorge Guillermo Napoleón Ramiro Sancho "
                 "Jaime Inocencio Clemente Urbano ",
        .ordinal_rulers = 10,
        .labels = " capítulo página número sala línea versión tipo fase día nivel grupo parte artículo habitación piso canal ruta paso pregunta puerta vuelo punto "
                  "tema sección anexo figura tabla apartado opción volumen tomo ejercicio año calle ",
        .not_counted = " de del por que y o u en al con para es son fue era a ante sobre sin se no la el las los un una su ",
        .feminine_ends = " a as ción ciones sión siones dad dades tad tades umbre ",
        .masculine = " día días problema problemas mapa mapas tema temas sistema sistemas programa programas clima climas idioma idiomas planeta planetas poema "
                     "poemas drama dramas cometa cometas ",
        .feminine = " mano manos noche noches vez veces clase clases calle calles gente parte partes mujer mujeres flor flores ley leyes tarde tardes llave llaves "
                    "nave naves imagen imágenes razón razones ",
        .agrees_to = 1 },
    { .tag = "fr", .locale = "fr", .decimal = ',', .group = ' ', .point = "virgule", .minus = "moins", .plus = "plus", .to = "à", .number = "numéro",
        .months = " janvier février mars avril mai juin juillet août septembre octobre novembre décembre ", .date = "d m y", .first = "premier", .hour_gender = 'f',
        .hour = "heure", .hours = "heures", .minutes_join = " ", .hour_mark = "hH", .money_join = "",
        .magnitude = { { "millions", "millions" }, { "million", "million" }, { "milliards", "milliards" }, { "milliard", "milliard" }, { "mille", "mille" },
            { "M", "millions" }, { "Md", "milliards" }, { "k", "mille" } },
        .of = "de", .unit = fr_units, .coin = fr_coins, .shorts = fr_shorts, .sign = fr_signs, .address = fr_address, .fraction = fr_fractions, .ordinal = fr_ordinals,
        .numbered = " chapitre tome volume acte partie titre livre chant phase ",
        .ruled = " Louis Charles Henri François Philippe Jean Paul Pie Benoît Léon Grégoire Napoléon Guillaume Georges Édouard Élisabeth Frédéric Pierre ",
        .ordinal_rulers = 1, .century_mark = "e",
        .labels = " chapitre page numéro salle ligne version type phase jour niveau groupe partie article chambre étage canal route question porte vol point section "
                  "annexe figure table tableau option volume tome exercice rue ",
        .not_counted = " de du des et ou à au aux en par pour que qui est sont sur sans le la les un une ",
        .feminine_ends = " tion tions sion sions té tés ance ances ence ences ette ettes elle elles esse esses ée ées ie ies ure ures ",
        .masculine = " côté côtés été étés musée musées lycée lycées silence silences génie génies incendie incendies comité comités ",
        .feminine = " heure heures minute minutes seconde secondes page pages personne personnes semaine semaines fois livre ligne lignes ville villes femme femmes "
                    "maison maisons voiture voitures tonne tonnes chambre chambres table tables porte portes rue rues route routes main mains nuit nuits question "
                    "image images lettre lettres classe classes place places partie famille familles fille filles école écoles pomme pommes ",
        .agrees_to = 1 },
    { .tag = "it", .locale = "it", .decimal = ',', .group = '.', .point = "virgola", .minus = "meno", .plus = "più", .to = "a", .number = "numero",
        .months = " gennaio febbraio marzo aprile maggio giugno luglio agosto settembre ottobre novembre dicembre ", .date = "d m y", .first = "primo", .hour_gender = 'f',
        .minutes_join = " e ", .hour_mark = "", .money_join = "e",
        .magnitude = { { "milioni", "milioni" }, { "milione", "milione" }, { "miliardi", "miliardi" }, { "miliardo", "miliardo" }, { "mila", "mila" },
            { "Mln", "milioni" }, { "mln", "milioni" }, { "mld", "miliardi" } },
        .of = "di", .unit = it_units, .coin = it_coins, .shorts = it_shorts, .sign = it_signs, .address = it_address, .fraction = it_fractions, .ordinal = it_ordinals,
        .numbered = " secolo capitolo tomo volume atto parte titolo libro canto fase ",
        .ruled = " Luigi Carlo Enrico Francesco Filippo Giovanni Paolo Pio Benedetto Leone Gregorio Napoleone Guglielmo Giorgio Umberto Emanuele Elisabetta Federico "
                 "Pietro Alfonso ",
        .ordinal_rulers = 1000,
        .labels = " capitolo pagina numero sala riga versione tipo fase giorno livello gruppo parte articolo camera piano canale domanda porta volo punto tema sezione "
                  "figura tabella opzione volume tomo esercizio via ",
        .not_counted = " di del della dei e o a al in con per che è sono era su sulla il la lo i gli le un una ",
        .feminine_ends = " a ione tà tù ice ", .masculine = " problema sistema programma tema clima poema pianeta giorno ",
        .feminine = " mano notte volta parte classe gente chiave nave legge luce voce ", .agrees_to = 1 },
    { .tag = "pt-br", .locale = "pt", .decimal = ',', .group = '.', .point = "vírgula", .minus = "menos", .plus = "mais", .to = "a", .number = "número",
        .months = " janeiro fevereiro março abril maio junho julho agosto setembro outubro novembro dezembro ", .date = "d de m de y", .first = "primeiro",
        .hour_gender = 'f', .minutes_join = " e ", .full_hour = "em ponto", .hour_mark = "h", .money_join = "e", .name_cents = true,
        .magnitude = { { "milhões", "milhões" }, { "milhão", "milhão" }, { "bilhões", "bilhões" }, { "bilhão", "bilhão" }, { "mil", "mil" }, { "mi", "milhões" },
            { "bi", "bilhões" }, { "k", "mil" } },
        .of = "de", .unit = pt_units, .coin = pt_coins, .shorts = pt_shorts, .sign = pt_signs, .address = pt_address, .fraction = pt_fractions, .ordinal = pt_ordinals,
        .numbered = " século séculos capítulo tomo volume ato parte título livro canto fase ",
        .ruled = " Pedro João Luís Carlos Henrique Filipe Felipe Afonso Manuel Paulo Pio Bento Leão Gregório Napoleão Guilherme Jorge Isabel Elizabeth Elisabete Dinis ",
        .ordinal_rulers = 10,
        .labels = " capítulo página número sala linha versão tipo fase dia nível grupo parte artigo quarto andar canal rota passo pergunta porta voo ponto tema seção "
                  "anexo figura tabela opção volume tomo exercício rua ",
        .not_counted = " de do da dos das e ou a ao em no na com para por que é são foi era sobre sem se não o as os um uma ",
        .feminine_ends = " a as ção ções são sões dade dades gem gens ",
        .masculine = " dia dias problema problemas mapa mapas tema temas sistema sistemas programa programas clima climas idioma idiomas planeta planetas poema poemas "
                     "cinema cinemas ",
        .feminine = " mão mãos noite noites vez vezes classe classes parte partes mulher mulheres flor flores lei leis tarde tardes chave chaves nave naves luz luzes ",
        .agrees_to = 2 },
    { .tag = "hi", .locale = "hi", .decimal = '.', .group = ',', .point = "दशमलव", .minus = "ऋण", .plus = "धन", .to = "से", .number = "नंबर",
        .months = " जनवरी फ़रवरी मार्च अप्रैल मई जून जुलाई अगस्त सितंबर अक्टूबर नवंबर दिसंबर ", .date = "d m y", .hour_gender = 'm', .hour = "बजकर", .hours = "बजकर",
        .minutes_join = " ", .minutes = "मिनट", .full_hour = "बजे", .hour_mark = "", .money_join = "", .name_cents = true,
        .magnitude = { { "लाख", "लाख" }, { "करोड़", "करोड़" }, { "हज़ार", "हज़ार" }, { "हजार", "हज़ार" }, { "K", "हज़ार" }, { "M", "मिलियन" } }, .of = "", .unit = hi_units,
        .coin = hi_coins, .shorts = hi_shorts, .sign = hi_signs, .address = hi_address, .fraction = hi_fractions, .ordinal = hi_ordinals, .numbered = "", .ruled = "",
        .labels = "", .not_counted = "", .feminine_ends = "", .masculine = "", .feminine = "" },
};

const koe_reading *koe_reading_of(const koe_lang *lang)
{
    for (size_t i = 0; i < KOE_READING_COUNT; i++)
        if (strcmp(lang->tag, readings[i].tag) == 0) return &readings[i];
    return NULL;
}

size_t koe_reading_row(const koe_reading *r) { return (size_t)(r - readings); }
