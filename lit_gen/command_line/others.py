"""The commands that are not Lightning's, each a function of its words, the command's own name included."""

from lit_gen.command_line.check import check
from lit_gen.command_line.export import export
from lit_gen.command_line.new import new
from lit_gen.command_line.prepare import prepare
from lit_gen.command_line.runs import runs

OTHERS = {"prepare": prepare, "check": check, "runs": runs, "new": new, "export": export}
