"""The 40 attributes of CelebA (Liu et al. 2015, "Deep Learning Face Attributes in the Wild"), and which exclude each other."""

from ddpm_faces.conditions.labels import Labels

# In the order of CelebA's list_attr_celeba.txt.
NAMES = tuple(
    """5_o_Clock_Shadow Arched_Eyebrows Attractive Bags_Under_Eyes Bald Bangs Big_Lips Big_Nose Black_Hair Blond_Hair
    Blurry Brown_Hair Bushy_Eyebrows Chubby Double_Chin Eyeglasses Goatee Gray_Hair Heavy_Makeup High_Cheekbones Male
    Mouth_Slightly_Open Mustache Narrow_Eyes No_Beard Oval_Face Pale_Skin Pointy_Nose Receding_Hairline Rosy_Cheeks
    Sideburns Smiling Straight_Hair Wavy_Hair Wearing_Earrings Wearing_Hat Wearing_Lipstick Wearing_Necklace
    Wearing_Necktie Young""".split()
)
HAIR_COLOURS = ("Black_Hair", "Blond_Hair", "Brown_Hair", "Gray_Hair")
HAIR_TEXTURES = ("Straight_Hair", "Wavy_Hair")
BEARDS = ("Goatee", "Mustache", "Sideburns", "5_o_Clock_Shadow")

# Pairs that hardly ever occur together in CelebA.
EXCLUSIVE: tuple[tuple[str, str], ...] = (
    *((a, b) for i, a in enumerate(HAIR_COLOURS) for b in HAIR_COLOURS[i + 1 :]),
    HAIR_TEXTURES,
    *(("Bald", name) for name in ("Bangs", "Receding_Hairline", "-Male", *HAIR_COLOURS, *HAIR_TEXTURES)),
    *(("No_Beard", name) for name in BEARDS),
    *(("-Male", name) for name in ("-No_Beard", *BEARDS, "Wearing_Necktie")),
    *(("Male", name) for name in ("Heavy_Makeup", "Wearing_Lipstick", "Rosy_Cheeks", "Wearing_Earrings", "Wearing_Necklace")),
)

CELEBA = Labels(NAMES, exclusive=EXCLUSIVE)
