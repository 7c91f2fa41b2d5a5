"""The category of a tag that the list does not have, told by its words.

Examples: `teal scarf`, `two-tone ribbon`, `hand on wall`.  Every pattern is matched against the
whole tag (small letters, spaces); the first that fits wins, so exceptions stand first.
"""

from __future__ import annotations

import re


def any_of(words: str) -> str:
    """A pattern for one of several words; an underscore in them stands for a space."""
    return "|".join(words.split()).replace("_", " ")


COLOUR = any_of(
    """
    amber aqua azure beige black blond blonde blue bronze brown copper cream crimson cyan
    emerald ginger gold golden gray green grey hazel indigo khaki lavender lilac magenta maroon
    mauve mint navy olive orange peach pink platinum purple red rose ruby scarlet silver tan
    teal turquoise violet white yellow two-tone multicolored multicoloured gradient rainbow
    split-color split-colour streaked colored
    """
)
# The singular; the rules below allow a plural.
GARMENT = any_of(
    """
    apron armor armour attire bikini blazer bloomers blouse bodysuit bolero boot bra bustier
    button camisole cape capelet cardigan cloak clothes clothing coat collar corset costume cuff
    dress fabric fishnet footwear frill gauntlet glove gown habit hakama haori heel hem hood
    hoodie jacket jean jersey jumpsuit kimono kneehigh lace lapel legging legwear leotard lining
    loafer mitten obi outfit overall pajama panties pantyhose pant pauldron petticoat pocket
    poncho print pullover robe romper sandal sash shawl shirt shoe shoelace short skirt sleeve
    slipper sneaker sock stocking stripe strap suit sundress suspender sweater sweatshirt
    swimsuit swimwear tabard thighhigh tights top toga trim trouser tunic turtleneck tuxedo
    underwear undershirt uniform vest waistcoat wetsuit yukata zipper
    """
)
ACCESSORY = any_of(
    """
    amulet anklet armband armlet ascot backpack badge bag bandaid bandana bangle beanie belt
    beret bonnet bow bowtie bracelet brooch buckle cap chain choker circlet cravat crown earmuff
    earphone earring earrings eyepatch eyewear fedora gem glasses goggles hairband hairclip
    hairpin halo handbag hat headband headdress headgear headphone headscarf headset headwear
    helmet jewel jewelry jewellery kanzashi lanyard locket mask medal monocle necklace
    neckerchief necktie neckwear ornament pendant piercing pin pouch purse ribbon ring scarf
    scrunchie sunglasses tassel tiara tie veil watch wreath wristband
    """
)
ANIMAL_PART = any_of(
    """
    ears? tails? horns? antlers wings? fins? gills antennae fur scales feathers hooves tentacles
    claws paws snout
    """
)
PLACE = any_of(
    """
    alley balcony bath beach building cafe castle cave church city classroom court desert door
    doorway field floor forest garden hall hallway house interior island kitchen lake landscape
    library market mountains? ocean office park platform pool river road roof room ruins school
    sea shop shore shrine sky stairs station store street temple tower town trees? village
    walls? water windows? woods clouds? curtains? petals
    """
)

_ACTIONS_OF_HANDS = any_of(
    """
    holding carrying adjusting grabbing covering touching removing tying gripping clutching
    squeezing
    """
)
_HANDS = any_of("hands? arms? fingers? palms? elbows? fists?")
_WHERE_HANDS_ARE = any_of(
    """
    on in over under between behind around up down to at against together above raised out
    crossed clasped
    """
)
_LOOK_OF_EYES = any_of(
    """
    closed shut squinted narrowed half-open half-lidded teary watery crying sleepy tired wide
    rolled angry sad happy smiling empty lifeless dull crazy shining sparkling heart star spiral
    swirly
    """
)
_HAIR_LENGTH = any_of(
    """
    long short medium medium-length chin-length shoulder-length waist-length hip-length
    knee-length ankle-length floor-length cropped shaved buzzed
    """
)
_HAIR_STYLE = any_of(
    """
    braids? braided twintails? ponytails? pigtails? bun buns drills? updo dreadlocks ringlets
    ahoge sidelocks? hairstyle haircut bob_cut curls tails?_hair
    hair_(down|up|flaps?|intakes?|rings?)
    """
)
_BODY_MARK = any_of("mole scar freckles tattoo birthmark stitches markings?")
_BODY = any_of(
    """
    tattoos? scars? mole markings? pupils? sclera eyebrows? eyelashes nails fingernails toenails
    makeup eyeshadow eyeliner lipstick beard mustache stubble muscles abs hips waist thighs nose
    prosthesis (mechanical|robotic|prosthetic)_(arms?|legs?|hands?|eyes?)
    """
)
_CREATURE = any_of(
    r"""
    cat dog fox wolf bunny rabbit dragon demon monster animal bird fish robot plant insect shark
    cow horse sheep mouse bear tiger lion snake spider slime ghost doll bat \w+
    """
)
_SPECIES = any_of("elf demon vampire angel fairy mermaid furry android cyborg humanoid anthro")
_EXPRESSION = any_of(
    """
    smile smiling smirk grin frown frowning blush blushing expression tears stare glare scowl
    pout laugh laughing crying grimace sweat sweatdrops? mood face_expression eyes
    """
)
_OF_GARMENTS = any_of(
    """
    cutout neckline slit legs shoulders? midriff back hemline pattern attire wear fashion armor
    """
)
_QUALITY = any_of(
    """
    quality artifacts? resolution username watermark logo text censor censoring commentary
    signature anatomy proportions res
    """
)
_STYLE = any_of(
    """
    style coloring colouring art artstyle parody meme painting drawing sketch media aesthetic
    lines effect palette theme
    """
)
_LIGHT = any_of(
    """
    light lights lighting lit shadows? glow rays reflection sparkles? particles blur flare
    """
)
_POSE_FIRST = any_of(
    """
    standing sitting lying laying kneeling squatting leaning walking running jumping flying
    floating riding sleeping playing eating drinking dancing fighting swimming climbing hugging
    kissing reading writing cooking bathing hanging resting stretching crawling bending crouching
    legs? knees? foot feet head on
    """
)
_POSE_LAST = any_of(
    """
    pose stance sitting standing lying kick punch hug kiss carry position dance jump sit lift
    pillow leg_up knees?_up
    """
)
_OBJECT = any_of(
    """
    swords? guns? weapons? books? phones? cups? bottles? flowers? roses? foods? cats? dogs? birds?
    fish animals? dolls? toys? balls? fruits? umbrellas? instruments? guitars? vehicles? cars? box
    boxes
    """
)

_PATTERNS = (
    (
        "count",
        r"\d+\+?(girl|boy|other|people|person)s?"
        r"|(multiple|several|many) (girls|boys|others|people)",
    ),
    ("quality", r"rating:.*"),
    # What hands do comes before what they hold or touch, and what lies about is not worn.
    ("object", r"unworn .*|.* on (the )?(floor|ground|table|bed)"),
    ("mouth", r".* in (own )?mouth|.* from mouth"),
    ("hands", rf"({_ACTIONS_OF_HANDS})\b.*"),
    ("hands", rf"(own |both |one )?({_HANDS}) ({_WHERE_HANDS_ARE})\b.*"),
    (
        "hands",
        r"(raised|outstretched|crossed|spread|bent|clenched|clasped|open)"
        r" (hands?|arms?|fists?|fingers?|palms?)",
    ),
    (
        "outfit",
        r".* (removed|lift|pull|aside|tug|slip|around waist|on shoulders)"
        rf"|(no|torn|wet|ripped|open|untied|undone) ({GARMENT})(e?s)?",
    ),
    ("gaze", r"(looking|facing|staring|glancing|gazing|peering)\b.*"),
    ("gesture", r"(pointing|waving|saluting|beckoning)\b.*|.* (gesture|sign|salute)"),
    # Around the eyes and the hair: what is worn there, what the face does, then what belongs to
    # the character.
    (
        "accessory",
        rf".*\bhair ({ACCESSORY}|flower|clip|bell|bead|bobble|stick|feather|tube)(e?s)?"
        r"|.* hair ornament",
    ),
    ("expression", rf"(.* )?({_LOOK_OF_EYES}) eyes?|.*\beyes? (closed|shut)"),
    ("bangs", r".*\bbangs|hair (over|between|in|across) .*(eyes?|face)"),
    (
        "eye colour",
        rf"(.* )?(bright |light |dark |pale |deep )?({COLOUR})(-\w+)? eyes?|heterochromia.*",
    ),
    (
        "hair colour",
        rf"(.* )?({COLOUR})(-\w+)? (inner )?hair|.*\b(tinted|dyed|frosted|ombre|highlighted) hair",
    ),
    (
        "hair length",
        rf"(.* )?({_HAIR_LENGTH}) hair|(bald|shaved) (head|female|male|girl|boy|woman|man)",
    ),
    ("hair style", rf".*\b({_HAIR_STYLE})|.* (hair|cut)"),
    ("body", rf"({_BODY_MARK})\b.*|.*\b({_BODY})"),
    ("chest", r".*\b(breasts?|chest|bust|boobs|pectorals)"),
    ("skin", r".*\b(skin|skinned|complexion)( (female|male|girl|boy))?|tan ?lines?|.*-skinned.*"),
    (
        "accessory",
        rf"(fake|detached|toy|headphone|cat ear|animal ear)\b.*({ANIMAL_PART}|headphones|headwear)",
    ),
    ("species", rf".*\b({ANIMAL_PART})|({_CREATURE}) (girl|boy|woman|man)s?|.*\b({_SPECIES})"),
    ("mouth", r".*\b(mouth|lips?|teeth|tooth|tongue|fangs?)|drool.*|saliva.*"),
    ("expression", rf".*\b({_EXPRESSION})"),
    ("framing", r".* (focus|out of frame)|.* out of frame|(extreme )?close-?up\b.*"),
    # Clothes, by the noun at the end; its colour and kind stand before it.
    ("accessory", rf"(.* )?({ACCESSORY})(e?s)?( \(.*\))?|({ACCESSORY})s? (on|around|over) .*"),
    (
        "outfit",
        rf"(.*[ -])?({GARMENT})(e?s)?( \(.*\))?|({GARMENT})(e?s)? (around|over|under|in) .*"
        rf"|.* ({_OF_GARMENTS})|bare .*",
    ),
    ("framing", r"cropped .*|.* (shot|portrait|frame|border)"),
    ("viewpoint", r"(from|seen from|viewed from) .*|.* (view|angle|perspective|pov)|pov .*"),
    ("quality", rf".*\b({_QUALITY})"),
    ("style", rf".*\((medium|style|artwork|texture|art)\)|.* ({_STYLE})"),
    (
        "background",
        rf".*\bbackground|(.* )?({PLACE})"
        r"|(in|at|inside|outside|near|by|against|under|through) (the |a |an )?\w+( \w+)?",
    ),
    ("lighting", rf".*\b({_LIGHT})"),
    ("pose", rf"({_POSE_FIRST})\b.*|.*\b({_POSE_LAST})"),
    ("object", rf".*\b({_OBJECT})( \(.*\))?"),
)
RULES = tuple((category, re.compile(pattern)) for category, pattern in _PATTERNS)
