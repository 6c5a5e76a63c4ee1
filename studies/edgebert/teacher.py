"""What a study file says about the teacher of the network that it compresses."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from dse.accuracy.networks.pretrained import require_network
from dse.study.system import Section, Watcher
from studies.validators import validated_by

if TYPE_CHECKING:
    from dse.accuracy.networks.training import Trained


class TeacherRule(Section):
    """The backbone also learns the answers of a network trained on the same task by `recipe`.

    `network` is the teacher's, minilm-l6, hub:NAME or local:FOLDER; left out: the one it teaches.
    """

    recipe: Literal["small", "demo", "full", "frozen"] = "full"
    network: Annotated[str, validated_by(require_network)] | None = None


def network_of(
    network: str, task: str, recipe: str, rule: TeacherRule | None, cache: Path, watch: Watcher
) -> "Trained":
    """Train the network of a study, with its teacher if it names one, or find it trained.

    Raises:
        DseError: As `dse.accuracy.networks.distillation.network_of`.
    """
    # Here and not above: torch and transformers take seconds that `dse validate` need not wait.
    from dse.accuracy.networks.distillation import Teacher, network_of

    teacher = None if rule is None else Teacher(rule.recipe, rule.network)
    return network_of(network, task, recipe, teacher, cache, watch)
