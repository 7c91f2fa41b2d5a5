"""What a tag that the atlas does not list speaks of, told by its words: `teal scarf`, `two-tone
ribbon`, `hand on wall`.

Every pattern is matched against the whole tag (small letters, spaces); the first that fits wins, so
exceptions stand first.
"""

from __future__ import annotations

import re

COLOURS = (
    "amber",
    "aqua",
    "azure",
    "beige",
    "black",
    "blond",
    "blonde",
    "blue",
    "bronze",
    "brown",
    "copper",
    "cream",
    "crimson",
    "cyan",
    "emerald",
    "ginger",
    "gold",
    "golden",
    "gray",
    "green",
    "grey",
    "hazel",
    "indigo",
    "khaki",
    "lavender",
    "lilac",
    "magenta",
    "maroon",
    "mauve",
    "mint",
    "navy",
    "olive",
    "orange",
    "peach",
    "pink",
    "platinum",
    "purple",
    "red",
    "rose",
    "ruby",
    "scarlet",
    "silver",
    "tan",
    "teal",
    "turquoise",
    "violet",
    "white",
    "yellow",
)
MIXED = (
    "two-tone",
    "multicolored",
    "multicoloured",
    "gradient",
    "rainbow",
    "split-color",
    "split-colour",
    "streaked",
    "colored",
)

GARMENTS = (
    "apron",
    "armor",
    "armour",
    "attire",
    "bikini",
    "blazer",
    "bloomers",
    "blouse",
    "bodysuit",
    "bolero",
    "boot",
    "bra",
    "bustier",
    "button",
    "camisole",
    "cape",
    "capelet",
    "cardigan",
    "cloak",
    "clothes",
    "clothing",
    "coat",
    "collar",
    "corset",
    "costume",
    "cuff",
    "dress",
    "fabric",
    "fishnet",
    "footwear",
    "frill",
    "gauntlet",
    "glove",
    "gown",
    "habit",
    "hakama",
    "haori",
    "heel",
    "hem",
    "hood",
    "hoodie",
    "jacket",
    "jean",
    "jersey",
    "jumpsuit",
    "kimono",
    "kneehigh",
    "lace",
    "lapel",
    "legging",
    "legwear",
    "leotard",
    "lining",
    "loafer",
    "mitten",
    "obi",
    "outfit",
    "overall",
    "pajama",
    "panties",
    "pantyhose",
    "pant",
    "pauldron",
    "petticoat",
    "pocket",
    "poncho",
    "print",
    "pullover",
    "robe",
    "romper",
    "sandal",
    "sash",
    "shawl",
    "shirt",
    "shoe",
    "shoelace",
    "short",
    "skirt",
    "sleeve",
    "slipper",
    "sneaker",
    "sock",
    "stocking",
    "stripe",
    "strap",
    "suit",
    "sundress",
    "suspender",
    "sweater",
    "sweatshirt",
    "swimsuit",
    "swimwear",
    "tabard",
    "thighhigh",
    "tights",
    "top",
    "toga",
    "trim",
    "trouser",
    "tunic",
    "turtleneck",
    "tuxedo",
    "underwear",
    "undershirt",
    "uniform",
    "vest",
    "waistcoat",
    "wetsuit",
    "yukata",
    "zipper",
)
ACCESSORIES = (
    "amulet",
    "anklet",
    "armband",
    "armlet",
    "ascot",
    "backpack",
    "badge",
    "bag",
    "bandaid",
    "bandana",
    "bangle",
    "beanie",
    "belt",
    "beret",
    "bonnet",
    "bow",
    "bowtie",
    "bracelet",
    "brooch",
    "buckle",
    "cap",
    "chain",
    "choker",
    "circlet",
    "cravat",
    "crown",
    "earmuff",
    "earphone",
    "earring",
    "earrings",
    "eyepatch",
    "eyewear",
    "fedora",
    "gem",
    "glasses",
    "goggles",
    "hairband",
    "hairclip",
    "hairpin",
    "halo",
    "handbag",
    "hat",
    "headband",
    "headdress",
    "headgear",
    "headphone",
    "headscarf",
    "headset",
    "headwear",
    "helmet",
    "jewel",
    "jewelry",
    "jewellery",
    "kanzashi",
    "lanyard",
    "locket",
    "mask",
    "medal",
    "monocle",
    "necklace",
    "neckerchief",
    "necktie",
    "neckwear",
    "ornament",
    "pendant",
    "piercing",
    "pin",
    "pouch",
    "purse",
    "ribbon",
    "ring",
    "scarf",
    "scrunchie",
    "sunglasses",
    "tassel",
    "tiara",
    "tie",
    "veil",
    "watch",
    "wreath",
    "wristband",
)
ANIMALS = "ears?|tails?|horns?|antlers|wings?|fins?|gills|antennae|fur|scales|feathers|hooves|tentacles|claws|paws|snout"
PLACES = (
    "alley|balcony|bath|beach|building|cafe|castle|cave|church|city|classroom|court|desert|door|doorway|field|floor|forest|"
    "garden|"
    "hall|hallway|house|interior|island|kitchen|lake|landscape|library|market|mountains?|ocean|office|park|platform|pool|"
    "river|road|"
    "roof|room|ruins|school|sea|shop|shore|shrine|sky|stairs|station|store|street|temple|tower|town|trees?|village|walls?|water|"
    "windows?|woods|clouds?|curtains?|petals"
)


def _words(nouns: tuple[str, ...]) -> str:
    return "|".join(nouns)


_COLOUR = _words((*COLOURS, *MIXED))
_RULES = (
    (
        "count",
        (
            r"\d+\+?(girl|boy|other|people|person)s?|(multiple|several|many)"
            r" (girls|boys|others|people)"
        ),
    ),
    ("quality", r"rating:.*"),
    # What hands do comes before what they hold or touch, and what lies about is not worn.
    ("object", r"unworn .*|.* on (the )?(floor|ground|table|bed)"),
    ("mouth", r".* in (own )?mouth|.* from mouth"),
    (
        "hands",
        r"(holding|carrying|adjusting|grabbing|covering|touching|removing|tying|gripping|clutching|squeezing)\b.*",
    ),
    (
        "hands",
        r"(own |both |one )?(hands?|arms?|fingers?|palms?|elbows?|fists?) "
        r"(on|in|over|under|between|behind|around|up|down|to|at|against|together|above|raised|out|crossed|clasped)\b.*",
    ),
    (
        "hands",
        (
            r"(raised|outstretched|crossed|spread|bent|clenched|clasped|open)"
            r" (hands?|arms?|fists?|fingers?|palms?)"
        ),
    ),
    (
        "outfit",
        r".* (removed|lift|pull|aside|tug|slip|around waist|on"
        r" shoulders)|(no|torn|wet|ripped|open|untied|undone) "
        rf"({_words(GARMENTS)})(e?s)?",
    ),
    ("gaze", r"(looking|facing|staring|glancing|gazing|peering)\b.*"),
    ("gesture", r"(pointing|waving|saluting|beckoning)\b.*|.* (gesture|sign|salute)"),
    # Around the eyes and the hair: what is worn there, what the face does, then what she has.
    (
        "accessory",
        (
            r".*\bhair"
            rf" ({_words(ACCESSORIES)}|flower|clip|bell|bead|bobble|stick|feather|tube)(e?s)?|.*"
            r" hair ornament"
        ),
    ),
    (
        "expression",
        r"(.* )?(closed|shut|squinted|narrowed|half-open|half-lidded|teary|watery|crying|sleepy|tired|wide|"
        r"rolled|angry|"
        r"sad|happy|smiling|empty|lifeless|dull|crazy|shining|sparkling|heart|star|spiral|swirly)"
        r" eyes?|"
        r".*\beyes? (closed|shut)",
    ),
    ("bangs", r".*\bbangs|hair (over|between|in|across) .*(eyes?|face)"),
    (
        "eye colour",
        rf"(.* )?(bright |light |dark |pale |deep )?({_COLOUR})(-\w+)? eyes?|heterochromia.*",
    ),
    (
        "hair colour",
        rf"(.* )?({_COLOUR})(-\w+)? (inner )?hair|.*\b(tinted|dyed|frosted|ombre|highlighted) hair",
    ),
    (
        "hair length",
        r"(.* )?(long|short|medium|medium-length|chin-length|shoulder-length|waist-length|hip-length|knee-length|"
        r"ankle-length|floor-length|cropped|shaved|buzzed) hair|(bald|shaved)"
        r" (head|female|male|girl|boy|woman|man)",
    ),
    (
        "hair style",
        r".*\b(braids?|braided|twintails?|ponytails?|pigtails?|bun|buns|drills?|updo|dreadlocks|ringlets|ahoge|"
        r"sidelocks?|hairstyle|haircut|bob cut|curls|tails? hair|hair"
        r" (down|up|flaps?|intakes?|rings?))|.* (hair|"
        r"cut)",
    ),
    (
        "body",
        r"(mole|scar|freckles|tattoo|birthmark|stitches|markings?)\b.*|.*\b(tattoos?|scars?|mole|markings?|pupils?|sclera|"
        r"eyebrows?|eyelashes|nails|fingernails|toenails|makeup|eyeshadow|eyeliner|lipstick|beard|mustache|stubble|muscles|"
        r"abs|hips|waist|thighs|nose|prosthesis|(mechanical|robotic|prosthetic)"
        r" (arms?|legs?|hands?|eyes?))",
    ),
    ("chest", r".*\b(breasts?|chest|bust|boobs|pectorals)"),
    ("skin", r".*\b(skin|skinned|complexion)( (female|male|girl|boy))?|tan ?lines?|.*-skinned.*"),
    (
        "accessory",
        rf"(fake|detached|toy|headphone|cat ear|animal ear)\b.*({ANIMALS}|headphones|headwear)",
    ),
    (
        "species",
        rf".*\b({ANIMALS})|(cat|dog|fox|wolf|bunny|rabbit|dragon|demon|monster|animal|bird|fish|robot|plant|insect|shark|"
        r"cow|horse|sheep|mouse|bear|tiger|lion|snake|spider|slime|ghost|doll|bat|\w+)"
        r" (girl|boy|woman|man)s?|"
        r".*\b(elf|demon|"
        r"vampire|angel|fairy|mermaid|furry|android|cyborg|humanoid|anthro)",
    ),
    ("mouth", r".*\b(mouth|lips?|teeth|tooth|tongue|fangs?)|drool.*|saliva.*"),
    (
        "expression",
        r".*\b(smile|smiling|smirk|grin|frown|frowning|blush|blushing|expression|tears|stare|glare|scowl|pout|laugh|"
        r"laughing|crying|grimace|sweat|sweatdrops?|mood|face expression|eyes)",
    ),
    ("framing", r".* (focus|out of frame)|.* out of frame|(extreme )?close-?up\b.*"),
    # Clothes, by the noun at the end; its colour and kind stand before it.
    (
        "accessory",
        (
            rf"(.* )?({_words(ACCESSORIES)})(e?s)?( \(.*\))?|({_words(ACCESSORIES)})s?"
            r" (on|around|over) .*"
        ),
    ),
    (
        "outfit",
        rf"(.*[ -])?({_words(GARMENTS)})(e?s)?( \(.*\))?|({_words(GARMENTS)})(e?s)?"
        r" (around|over|under|in) .*|"
        r".* (cutout|neckline|slit|legs|shoulders?|midriff|back|hemline|pattern|attire|wear|fashion|armor)|bare .*",
    ),
    ("framing", r"cropped .*|.* (shot|portrait|frame|border)"),
    ("viewpoint", r"(from|seen from|viewed from) .*|.* (view|angle|perspective|pov)|pov .*"),
    (
        "quality",
        r".*\b(quality|artifacts?|resolution|username|watermark|logo|text|censor|censoring|commentary|signature|"
        r"anatomy|proportions|res)",
    ),
    (
        "style",
        r".*\((medium|style|artwork|texture|art)\)|.*"
        r" (style|coloring|colouring|art|artstyle|parody|meme|painting|drawing|"
        r"sketch|media|aesthetic|lines|effect|palette|theme)",
    ),
    (
        "background",
        rf".*\bbackground|(.* )?({PLACES})|(in|at|inside|outside|near|by|against|under|through)"
        r" (the |a |"
        rf"an )?\w+( \w+)?",
    ),
    (
        "lighting",
        r".*\b(light|lights|lighting|lit|shadows?|glow|rays|reflection|sparkles?|particles|blur|flare)",
    ),
    (
        "pose",
        r"(standing|sitting|lying|laying|kneeling|squatting|leaning|walking|running|jumping|flying|floating|riding|sleeping|"
        r"playing|eating|drinking|dancing|fighting|swimming|climbing|hugging|kissing|reading|writing|cooking|bathing|"
        r"hanging|"
        r"resting|stretching|crawling|bending|crouching|legs?|knees?|foot|feet|head|on)\b.*|.*\b(pose|stance|sitting|"
        r"standing|"
        r"lying|kick|punch|hug|kiss|carry|position|dance|jump|sit|lift|pillow|leg up|knees? up)",
    ),
    (
        "object",
        r".*\b(swords?|guns?|weapons?|books?|phones?|cups?|bottles?|flowers?|roses?|foods?|cats?|dogs?|birds?|fish|"
        r"animals?|"
        r"dolls?|toys?|balls?|fruits?|umbrellas?|instruments?|guitars?|vehicles?|cars?|box|boxes)("
        r" \(.*\))?",
    ),
)
RULES = tuple((category, re.compile(pattern)) for category, pattern in _RULES)
