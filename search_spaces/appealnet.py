"""AppealNet's choices (arXiv 2105.04104): both networks, the price of an appeal, the threshold."""

from dse.core.errors import SpaceError
from dse.core.parameters import Categorical, Integer, Parameter, Real, Value
from search_spaces.dynasplit import CLOUD_GPU, CPU_FREQUENCY

EDGE_LAYERS = Integer("edge_layers", 1, 12, "layer", stage="design")
"""Layers of the small network: of the encoder, or of the convolutional network."""

BETA = Real("beta", 0.001, 3.0, "1", stage="design")
"""Price of an appeal in the joint loss; its scale follows that of the loss."""

CLOUD_NETWORK = Categorical(
    "cloud_network",
    ("small", "demo", "full", "frozen", "cnn-small", "cnn-large"),
    stage="design",
)
"""Large network: an encoder by its recipe for sentences, a convolutional one for images. Fixed
before run time, because a white-box head is trained against it."""

APPEAL_THRESHOLD = Real("appeal_threshold", 0.0, 1.0, "1", stage="run")
"""An input stays on the edge if its score is at or above; 0: nothing is appealed."""

DOMAIN: tuple[Parameter, ...] = (
    EDGE_LAYERS,
    CLOUD_NETWORK,
    BETA,
    APPEAL_THRESHOLD,
    CPU_FREQUENCY,
    CLOUD_GPU,
)

DEFAULTS: dict[str, Value] = {"cpu_frequency": 1.8e9, "cloud_gpu": "on"}
"""What a study that does not name a knob gets: the highest clock, the GPU on."""

FOR_SENTENCES = ("small", "demo", "full", "frozen")
FOR_IMAGES = ("cnn-small", "cnn-large")


def require_networks(parameters: tuple[Parameter, ...], *, on_images: bool) -> None:
    """Refuse large networks of another kind of task, and small ones that are too deep.

    Raises:
        SpaceError: With the networks that there are.
    """
    known = FOR_IMAGES if on_images else FOR_SENTENCES
    for parameter in parameters:
        if isinstance(parameter, Categorical) and parameter.name == "cloud_network":
            wrong = [name for name in parameter.values if name not in known]
            if wrong:
                raise SpaceError(
                    f"cloud_network = {wrong[0]} is none for "
                    f"{'images' if on_images else 'sentences'}; there are {', '.join(known)}"
                )
