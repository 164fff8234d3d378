"""Action Recognition, a part of the PAF benchmark (Miao et al., Frontiers in Neurorobotics 13:38, 2019)."""

from __future__ import annotations

import re
from pathlib import Path

from tasks.base import Split, TaskInfo
from tasks.events.base import RecordedEvents, Recording, with_encodings
from tasks.events.encoding import Events, Sensor
from tasks.events.files import davis346, read_aedat2


@with_encodings("action_recognition")
class ActionRecognition(RecordedEvents):
    """Ten actions of fifteen people before a DAVIS346, 346x260 pixels.

    The publisher gives no split and the paper's authors have not published theirs. Folders train and test are the
    splits where they exist; else a seeded fifth of every class is the test set. A tenth of the training set validates.
    """

    info = TaskInfo(
        "Action Recognition: ten actions of fifteen people",
        'Miao et al., "Neuromorphic Vision Datasets for Pedestrian Detection, Action Recognition, and Fall Detection", '
        "Frontiers in Neurorobotics 13:38, 2019",
        "https://github.com/CrystalMiaoshu/PAFBenchmark",
    )
    folders = ("Action_Recognition",)
    classes = (
        "arm_crossing", "get_up", "jumping", "kicking", "picking_up", "sit_down", "throwing", "turning_around",
        "walking", "waving",
    )  # fmt: skip
    sensor = Sensor(346, 260)
    layout = (
        "Action_Recognition/<class>/*.aedat, or Action_Recognition/{train,test}/<class>/*.aedat, with classes such as "
        "arm_crossing (case, spaces and hyphens do not matter)."
    )

    def gap(self) -> str | None:
        for part in _parts(self.root):
            found = _folders(part)
            for name in self.classes:
                if name not in found:
                    return f"There is no folder {part / name}."
                if not any(found[name].glob("*.aedat")):
                    return f"The folder {found[name]} holds no .aedat file."
        return None

    def listing(self) -> dict[Split, list[Recording]]:
        parts = [self._recordings_of(part) for part in _parts(self.root)]
        if len(parts) == 2:
            return {"train": parts[0], "test": parts[1]}
        return {"train": parts[0]}

    def load(self, sample: Recording) -> Events:
        return read_aedat2(sample.path, davis346)

    def _recordings_of(self, part: Path) -> list[Recording]:
        found = _folders(part)
        return [
            Recording(path, label)
            for label, name in enumerate(self.classes)
            for path in sorted(found[name].glob("*.aedat"))
        ]


def _parts(root: Path) -> list[Path]:
    """The folders of the splits, or the dataset's own folder where there are none."""
    return [root / "train", root / "test"] if (root / "train").is_dir() else [root]


def _folders(part: Path) -> dict[str, Path]:
    """The folders of the classes by their names as the task spells them."""
    if not part.is_dir():
        return {}
    return {
        re.sub(r"[\s_-]+", "_", path.name.strip().lower()): path for path in sorted(part.iterdir()) if path.is_dir()
    }
