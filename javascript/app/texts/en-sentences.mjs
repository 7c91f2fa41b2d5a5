// What the program says with the command line in mind, in words for the page.  See sentences.mjs.
/** @type {[string, string][]} */
export const sentences = [
    ["warning: the mask is unsure ({0}): look at source/mask.png before training; if it is wrong, paint it, or set prepare.matting_model=isnet-anime and call 'prepare' again",
        "The mask is unsure ({0}): look at it before training. Where it is wrong, paint it, or fetch a matting model and prepare again."],
    ["the mask is unsure ({0}) and was not edited by hand: where the character ends, and with it the crops, may be wrong; look at source/mask.png and the crops",
        "The mask is unsure ({0}) and was not painted by hand: where the character ends, and with it the crops, may be wrong. Look at the mask in Source, and at the crops."],
    ["character.trigger: found {0}, which is the class too, expected a word that only the character has; choose another trigger, such as a name",
        "{0} is the class too: choose a word that only this character has, such as a name."],
    ["artifacts: {0} ({1}); source/artifacts.png shows them", "found what does not belong to the picture: {0} ({1})"],
    ["none cleaned; see prepare.clean_artifacts", "none cleaned"],
    ["{0} pictures were put aside ({1}); see them with 'regularize --list'", "{0} pictures were put aside ({1}); see them under Rejected"],
    ["{0} was edited by hand and is kept; --force makes it again", "{0} was edited by hand and is kept; Redo from scratch makes it again"],
    ["{0} of the character is in no crop; source/coverage.png shows where, crop.boxes adds a crop there", "{0} of the character is in no crop: Show coverage shows where; draw a box there"],
    ["not proposed: {0}; the picture does not show them whole, or they would look like another crop (crop.boxes adds one)", "not proposed: {0}; the picture does not show them whole, or they would look like another crop (draw a box to have one)"],
    ["{0}: found no mask for it, expected --mask FILE of the same size (white is redrawn), or inpaint.redraw='whole picture'", "Nothing is painted yet: paint over what shall become the character, or set Redraw to whole picture."],
    ["{0}, these neither; 'run' draws none then", "{0}, these neither; Run everything draws none then"],
];
