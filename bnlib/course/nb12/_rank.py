"""What each process of launch() runs: the script, under guard. Started as a file, never imported.

usage: python _rank.py SCRIPT SECONDS    in the script's folder, stdin a pipe from the launcher
"""

import faulthandler
import os
import runpy
import sys
import threading


def end_with_launcher():
    """End when the other end of stdin is closed: whatever became of the launcher, it is gone."""
    while os.read(0, 1):
        pass
    os._exit(1)


if __name__ == "__main__":
    script, seconds = sys.argv[1:]
    sys.argv, sys.path[0] = [script], os.getcwd()
    threading.Thread(target=end_with_launcher, daemon=True).start()
    faulthandler.dump_traceback_later(float(seconds))  # a rank that hangs says where
    runpy.run_path(script, run_name="__main__")
    faulthandler.cancel_dump_traceback_later()
    # gloo's threads may still run: whoever takes the interpreter apart around them is now and then
    # aborted ("terminate called without an active exception") after all work is done
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)
