"""What JupyterLab may write to when a learner works: all but the course's own notebooks."""

from jupyter_server.services.contents.largefilemanager import AsyncLargeFileManager


class LearnersFiles(AsyncLargeFileManager):
    """Files under notebooks/ open read-only, so that git finds them as it left them.

    Showing a stored explorer is enough for the widgets' extension to call a notebook modified.
    """

    def is_writable(self, path):
        return not path.strip("/").startswith("notebooks/") and super().is_writable(path)
