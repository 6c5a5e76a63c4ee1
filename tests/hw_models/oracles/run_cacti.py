"""Regenerates the SRAM of CACTI 7; needs Python 3.12 and a C compiler, with CACTI from source:

pip install --no-binary hwcomponents-cacti hwcomponents-cacti==1.0.40
cd tests/hw_models/oracles
python run_cacti.py table > ../../../hw_models/tables/sram_cacti_22nm.csv
python run_cacti.py held_out > cacti_sram_22nm.json

Every SRAM is a run of its own: the wrapper interpolates nothing at 22 nm and these sizes. The table
is what the model reads; the other runs lie between its rows and between its words, and no number
of the model was chosen on them. About 15 minutes.
"""

import itertools
import json
import sys

CAPACITIES = (32, 48, *(step * 2**octave for octave in range(3, 8) for step in range(8, 16)), 2048)
"""KiB: two small ones, then eight to the octave."""

WORDS = (32, 48, 64, 96, 128, 192, 256, 384, 512)
WORD = 128
BETWEEN = tuple(step * 2**octave for octave in range(2, 7) for step in range(17, 32, 2))
USED = (32, 128, 1024)
"""KiB of the auxiliary buffer, the two operand buffers and a bank of the accelerator."""

ODD_WORDS = (40, 56, 80, 112, 160, 224, 320, 448, 64, 256, 512, 32)


def run(kib, bits):
    """One SRAM: itrs-lstp, 300 K, one read-write port, one bank."""
    from hwcomponents_cacti import SRAM

    sram = SRAM(tech_node=22e-9, width=bits, size=8192 * kib)
    read, write = sram.read(), sram.write()
    values = {"area_mm2": sram.area * 1e6, "read_pJ": read.energy * 1e12,
              "write_pJ": write.energy * 1e12, "access_ns": read.latency * 1e9,
              "leakage_mW": sram.leak_power * 1e3}  # fmt: skip
    return {"capacity_KiB": kib, "word_bits": bits} | {
        name: float(f"{value:.5g}") for name, value in values.items()
    }


def table():
    """The table: area, time and leakage with a 128-bit word, energies with every word."""
    sized = ("area_mm2", "access_ns", "leakage_mW")
    energies = [f"{kind}_{word}" for kind in ("read", "write") for word in WORDS]
    lines = [["capacity_KiB", *sized, *(f"{name}_pJ" for name in energies)]]
    for kib in CAPACITIES:
        runs = {word: run(kib, word) for word in WORDS}
        row = [runs[WORD][name] for name in sized]
        lines.append([kib, *row, *(runs[w][f"{k}_pJ"] for k in ("read", "write") for w in WORDS)])
    sys.stdout.writelines(",".join(map(str, line)) + "\n" for line in lines)


def held_out():
    """The fixture: every capacity with a 128-bit word and two others; the arrays of the machine."""
    words = itertools.cycle(ODD_WORDS)
    points = [(kib, word) for kib in BETWEEN for word in (WORD, next(words), next(words))]
    points += itertools.product(USED, ODD_WORDS[:8])
    origin = {
        "tool": "CACTI 7 through hwcomponents-cacti 1.0.40 built from source, itrs-lstp, 300 K, "
        "one read-write port, one bank, 22 nm",
        "command": "python tests/hw_models/oracles/run_cacti.py held_out",
    }
    lines = ",\n".join(json.dumps(run(*point)) for point in points)
    sys.stdout.write(f'{{"origin": {json.dumps(origin)},\n"held_out": [\n{lines}\n]}}\n')


if __name__ == "__main__":
    {"table": table, "held_out": held_out}[sys.argv[1]]()
