"""The same on Ray: python FOLDER/ray_train.py KEY --out study.runs --workers 4; other options are those of train.py."""

import argparse
import importlib
import sys
from pathlib import Path

if not __package__:
    here = Path(__file__).resolve().parent
    sys.path.insert(0, str(here.parent))
    __package__ = here.name
    importlib.import_module(__package__)


def loop(config):
    """What each worker does: the package is found where it lies, which all nodes see."""
    sys.path.insert(0, str(Path(config["folder"]).parent))
    train = importlib.import_module(f"{Path(config['folder']).name}.train")
    given = train.options(config["words"])
    train.train_all(given, train.Crew(given.device))


def main():
    parser = argparse.ArgumentParser(prog="ray_train.py", description=__doc__)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--address", help="of a Ray that is there; one on this machine unless given")
    parser.add_argument("--storage", help="where Ray keeps what is its own")
    given, words = parser.parse_known_args()

    import ray
    from ray.train import RunConfig, ScalingConfig
    from ray.train.torch import TorchTrainer

    from .train import options

    gpu = options(words).device == "cuda"
    # One that is started for this run alone shows nobody a page.
    ray.init(address=given.address) if given.address else ray.init(include_dashboard=False)
    trainer = TorchTrainer(
        loop,
        train_loop_config={"folder": str(Path(__file__).resolve().parent), "words": words},
        scaling_config=ScalingConfig(num_workers=given.workers, use_gpu=gpu),
        run_config=RunConfig(storage_path=given.storage) if given.storage else None,
    )
    trainer.fit()


if __name__ == "__main__":
    main()
