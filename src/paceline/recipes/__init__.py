"""Recipes: functions that return a full config; their names are what the CLI's --recipe takes."""

from collections.abc import Callable

from paceline.corpus.config import CorpusConfig
from paceline.recipes.python_small import python_small
from paceline.recipes.tiny_cpu import tiny_cpu
from paceline.train.config import TrainConfig

CORPUS_RECIPES: dict[str, Callable[[], CorpusConfig]] = {"python-small": python_small}
TRAIN_RECIPES: dict[str, Callable[[], TrainConfig]] = {"tiny-cpu": tiny_cpu}
