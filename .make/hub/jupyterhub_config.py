"""JupyterHub for a class that works through this course: README.md in this folder says how.

    jupyterhub -f .make/hub/jupyterhub_config.py

One file for the image, for trying it out, and for the tests. The environment chooses:

BNLIB_HUB_SPAWNER        `docker`: a container for each learner, in which the limits hold; or
                         `simple`: processes of the user who starts the hub, with no wall between
                         learners and no limits that hold, for trying it out on one's own machine
BNLIB_HUB_AUTHENTICATOR  `firstuse`: a name of the class, with the password that it first comes
                         with; or `dummy`: any name, any password, on this machine alone
BNLIB_HUB_USERS          the class: names, with blanks or new lines between them (firstuse)
BNLIB_HUB_ADMINS         those who may see the admin page, likewise
BNLIB_HUB_ADDRESS        where the hub is met (http://127.0.0.1:8000); the two ports after this one
                         are for the hub and its proxy to talk to each other, here alone
BNLIB_HUB_STATE          folder of its data base, secrets and passwords (.out/hub)
BNLIB_HUB_MEMORY         a learner's limit (2G): README.md has the figures
BNLIB_HUB_CPU            cores for a learner at most (2)
BNLIB_HUB_IDLE           seconds after which an idle server is ended (3600)
BNLIB_HUB_IMAGE          image of a learner's container (bnlib-hub)
BNLIB_HUB_NETWORK        the containers' network (bnlib-hub)
BNLIB_COURSE, BNLIB_BRANCH  where a learner's clone comes from: see learner.py
"""

import os
import socket
import sys
from pathlib import Path
from urllib.parse import urlsplit

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
sys.path.insert(0, str(HERE))
import proxy  # noqa: E402 (beside this file, in a folder that is no package)

c = get_config()  # noqa: F821 (JupyterHub puts it here)


def chosen(name, default, among=None):
    """The value of BNLIB_HUB_<name>. Raises ValueError where it is none of `among`."""
    value = os.environ.get(f"BNLIB_HUB_{name}") or default
    if among and value not in among:
        raise ValueError(f"BNLIB_HUB_{name} is {value!r}; it may be {' or '.join(among)}")
    return value


spawner = chosen("SPAWNER", "docker", ("docker", "simple"))
authenticator = chosen("AUTHENTICATOR", "firstuse", ("firstuse", "dummy"))
address = chosen("ADDRESS", "http://127.0.0.1:8000")
port = urlsplit(address).port or 80
idle = int(chosen("IDLE", "3600"))
state = Path(chosen("STATE", str(ROOT / ".out" / "hub")))
state.mkdir(parents=True, exist_ok=True)

# ---- the hub -------------------------------------------------------------------------------------

c.ConfigurableHTTPProxy.command = proxy.command()
c.ConfigurableHTTPProxy.pid_file = str(state / "proxy.pid")
c.ConfigurableHTTPProxy.api_url = f"http://127.0.0.1:{port + 2}"
c.JupyterHub.bind_url = address
c.JupyterHub.db_url = f"sqlite:///{state / 'hub.sqlite'}"
c.JupyterHub.cookie_secret_file = str(state / "cookie_secret")
c.JupyterHub.concurrent_spawn_limit = 8  # thirty who come at once wait their turn for the cores

# ---- who may come --------------------------------------------------------------------------------

c.JupyterHub.authenticator_class = authenticator
c.Authenticator.admin_users = set(chosen("ADMINS", "").split())
if authenticator == "firstuse":
    c.JupyterHub.authenticator_class = "firstuseauthenticator.FirstUseAuthenticator"
    c.FirstUseAuthenticator.dbm_path = str(state / "passwords.dbm")
    c.Authenticator.allowed_users = set(chosen("USERS", "").split())
    c.Authenticator.allow_all = False  # without a list, too
elif not address.startswith("http://127.0.0.1:"):
    raise ValueError(f"dummy lets everybody in: only at http://127.0.0.1:…, not at {address}")

# ---- a learner's server --------------------------------------------------------------------------

c.Spawner.cmd = [sys.executable, str(HERE / "learner.py")]
c.Spawner.args = [  # a kernel that has not computed for so long gives its memory back
    f"--MappingKernelManager.cull_idle_timeout={idle}",
    "--MappingKernelManager.cull_connected=True",
]
c.Spawner.default_url = "/lab/tree/work/00_start_here.ipynb"
c.Spawner.start_timeout = c.Spawner.http_timeout = 180
c.Spawner.mem_limit = chosen("MEMORY", "2G")
c.Spawner.cpu_limit = float(chosen("CPU", "2"))
c.Spawner.environment = {
    **{f"{name}_NUM_THREADS": "1" for name in ("OMP", "OPENBLAS", "MKL")},
    **{name: os.environ[name] for name in ("BNLIB_COURSE", "BNLIB_BRANCH") if name in os.environ},
}

if spawner == "simple":
    c.JupyterHub.spawner_class = "simple"
    c.JupyterHub.hub_bind_url = f"http://127.0.0.1:{port + 1}"
    c.SimpleLocalProcessSpawner.home_dir_template = str(state / "homes" / "{username}")
else:
    c.JupyterHub.spawner_class = "docker"
    c.JupyterHub.hub_bind_url = f"http://0.0.0.0:{port + 1}"  # in the containers' network alone
    c.JupyterHub.hub_connect_ip = socket.gethostname()  # the hub's container, by its name
    c.DockerSpawner.image = chosen("IMAGE", "bnlib-hub")
    c.DockerSpawner.network_name = chosen("NETWORK", "bnlib-hub")
    c.DockerSpawner.use_internal_ip = True
    c.DockerSpawner.volumes = {"bnlib-home-{username}": "/home/learner"}
    c.DockerSpawner.remove = True  # the container; the volume, with all the work in it, stays
    c.DockerSpawner.extra_host_config = {"security_opt": ["no-new-privileges"], "pids_limit": 512}

# ---- idle servers --------------------------------------------------------------------------------

c.JupyterHub.load_roles = [
    {
        "name": "idle-culler",
        "scopes": ["list:users", "read:users:activity", "read:servers", "delete:servers"],
        "services": ["idle-culler"],
    }
]
c.JupyterHub.services = [
    {
        "name": "idle-culler",
        "command": [sys.executable, "-m", "jupyterhub_idle_culler", f"--timeout={idle}"],
    }
]
