# Every target below sets up what it needs by itself. What a target does stands in .make/run.py,
# which also runs without make:  python .make/run.py test
#
#   NB=…            the notebook that is meant: make fresh NB=05
#   ARGS="…"        goes on to the program behind the target: make test ARGS="-k reference"
#   PYTHON=…        the Python to build .venv with, 3.11 or newer
#   BNLIB_TORCH=…   the build of torch to install: auto, cpu, cu126, …, or index

.DEFAULT_GOAL := help
TARGETS := help lab update fresh stop test browser hub bench gpu notebooks site slides handout grade data lint constraints clean

.PHONY: $(TARGETS)
$(TARGETS):
	@sh .make/python.sh .make/run.py $@
