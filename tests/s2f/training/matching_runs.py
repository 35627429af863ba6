"""Tiny recipes of the matching systems, with the classes of the paper-size ones and smaller numbers."""

VGG_M_VOICE = {"channels": [4, 4, 4, 4, 4], "fc_sizes": [8, 8]}
VGG_M_FACE = {"channels": [4, 4, 4, 4, 4], "fc_sizes": [8, 8], "image_size_px": 32}
SOUNDNET = {"channels": [2, 2, 4, 4, 4, 8]}
VGG16 = {"channels": [4, 4, 4, 4, 8], "image_size_px": 32}
THIN_RESNET = {
    "stem_channels": 4,
    "widths": [[4, 4, 4], [4, 4, 4], [4, 4, 4], [4, 4, 8]],
    "blocks": [1, 1, 1, 1],
    "clusters": 2,
    "feature_size": 8,
}
IR = {"units": [1, 1], "widths": [4, 8], "image_size_px": 32, "feature_size": 8}
FAST_RESNET = {"filters": [8, 8, 8, 8], "blocks": [1, 1, 1, 1], "feature_size": 8}

SVHF = {"method": "svhf", "voice_encoder": "vgg_m", "voice_network": VGG_M_VOICE, "face_encoder": "vgg_m"}
SVHF |= {"face_network": VGG_M_FACE, "head": {"sizes": [8, 8]}, "fixed_triplets": 12, "speed": [0.95, 1.05]}
SVHF |= {"face_augment": "imagenet", "loss_weights": {"place": 1.0}, "optimizer": "sgd", "lr_scheduler": "logarithmic"}
KIM = {"method": "kim2018", "voice_encoder": "soundnet", "voice_network": SOUNDNET, "face_encoder": "vgg16_pooled"}
KIM |= {"face_network": VGG16, "used_triplets": 2, "hardest_from_step": 1, "loss_weights": {"triplet": 1.0}}
KIM |= {"part_rates": {"voice_encoder": 0.01, "face_encoder": 0.01}}
TRINET = {"method": "trinet", "voice_encoder": "thin_resnet", "voice_network": THIN_RESNET, "face_encoder": "ir"}
TRINET |= {"face_network": IR, "voices_per_identity": 2, "faces_per_identity": 2, "loss_weights": {"triplet": 1.0}}
TRINET |= {"part_rates": {"face_encoder": 0.001}, "steady_parts": ["face_encoder"]}
WEN = {"method": "wen2021", "voice_encoder": "fast_resnet", "voice_network": FAST_RESNET, "face_encoder": "ir"}
WEN |= {"face_network": IR, "head": {"dropout": 0.5}, "loss_weights": {"identity": 1.0, "explicit": 1.0}}
WEN |= {"shortest_seconds": 0.8, "face_augment": "rotation", "optimizer": "sgd"}

RECIPES = {
    "svhf": SVHF,
    "svhf_nway": SVHF | {"query_pooling": True, "ways": 3, "direction": "f2v"},
    "kim2018": KIM,
    "siamese": KIM | {"method": "siamese", "loss_weights": {"contrastive": 1.0}},
    "pair_classification": KIM | {"method": "pair_classification", "loss_weights": {"match": 1.0}},
    "trinet": TRINET,
    "wen2021": WEN,
    "wen2021_weights": WEN | {"reweighting": {"warm_up_steps": 2, "update_steps": 1, "added": 2}},
    "wen2021_code": WEN | {"mode": "code"},
    "wen2021_focal": WEN | {"focal_gamma": 2.0},
}
SHARED = {"seconds": 1.0, "train_batch_size": 4, "max_train_steps": 2, "logging_steps": 1, "cpu": True}
