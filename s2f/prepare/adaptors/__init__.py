"""The datasets that `s2f prepare` reads, by name."""

from s2f.prepare.adaptors import (
    avspeech,
    crema_d,
    folders,
    hq_voxceleb,
    librispeech,
    mav_celeb,
    vggface,
    vggface2,
    voxceleb1,
    voxceleb1_faces,
    voxceleb2,
)
from s2f.prepare.sources.found import Adaptor

ADAPTORS: dict[str, Adaptor] = {
    adaptor.name: adaptor
    for adaptor in (
        voxceleb1.ADAPTOR,
        voxceleb1_faces.ADAPTOR,
        voxceleb2.ADAPTOR,
        vggface.ADAPTOR,
        vggface.ALL_FRONTAL,
        vggface2.ADAPTOR,
        hq_voxceleb.ADAPTOR,
        mav_celeb.ADAPTOR,
        avspeech.ADAPTOR,
        crema_d.ADAPTOR,
        librispeech.ADAPTOR,
        folders.ADAPTOR,
    )
}
