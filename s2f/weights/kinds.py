"""The kinds of published files that `s2f weights import` reads."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from s2f.weights.networks import fast_resnet, ir_resnet, soundnet, thin_resnet, vgg_face, vgg_m
from s2f.weights.networks.conversion import ChannelOrder, Conversion


@dataclass(frozen=True)
class Kind:
    """One kind of file.

    Attributes:
        file: its published name and where it comes from.
        convert: reads it.
        order: channel order of the pictures its network reads; None where sources disagree and the user must say.
        why_open: what the sources say, where they disagree.
        pictures: whether the network reads pictures at all.
    """

    file: str
    convert: Callable[[Path, ChannelOrder], Conversion]
    order: ChannelOrder | None = "rgb"
    why_open: str = ""
    pictures: bool = True


DEEPFACE_OPEN = (
    "deepface feeds BGR, and third parties made the file; --reference FOLDER of another VGG-Face file settles it"
)
IR50_OPEN = "face.evoLVe trained it on RGB, Wen et al. (2021) feed it BGR"
KINDS = {
    "vgg_face_dag": Kind("vgg_face_dag.pth (pytorch-mcn)", vgg_face.from_dag),
    "vgg_face_caffe": Kind("VGG_FACE.caffemodel (Caffe)", vgg_face.from_caffe, "bgr"),
    "vgg_face_torch7": Kind("VGG_FACE.t7 (Torch7)", vgg_face.from_torch7, "bgr"),
    "vgg_face_matconvnet": Kind("vgg_face.mat (MatConvNet)", vgg_face.from_matconvnet),
    "vgg_face_keras": Kind("rcmalli_vggface_tf_vgg16.h5 (keras-vggface)", vgg_face.from_keras, "bgr"),
    "vgg_face_deepface": Kind("vgg_face_weights.h5 (deepface)", vgg_face.from_deepface, None, DEEPFACE_OPEN),
    "vgg_m_face_bn_dag": Kind("vgg_m_face_bn_dag.pth (pytorch-mcn)", vgg_m.from_dag),
    "vggvox": Kind("vggvox_ident_net.mat or vggvox_ver_net.mat (MatConvNet)", vgg_m.from_vggvox, pictures=False),
    "svhf": Kind("static-RGB+VGGFace.mat (SVHF-Net, MatConvNet)", vgg_m.from_svhf),
    "soundnet_npy": Kind("sound8.npy (SoundNet-tensorflow)", soundnet.from_npy, pictures=False),
    "soundnet_pth": Kind("sound8.pth or another PyTorch port of SoundNet", soundnet.from_pth, pictures=False),
    "thin_resnet": Kind(
        "weights.h5 of resnet34_vlad8_ghost2 (VGG-Speaker-Recognition, Keras)", thin_resnet.from_keras, pictures=False
    ),
    "ir_se50": Kind("model_ir_se50.pth (InsightFace_Pytorch)", ir_resnet.from_ir_se50),
    "ir50": Kind("backbone_ir50_ms1m_epoch120.pth (face.evoLVe)", ir_resnet.from_ir50, None, IR50_OPEN),
    "fast_resnet": Kind("baseline_lite_ap.model (voxceleb_trainer)", fast_resnet.from_model, pictures=False),
}
