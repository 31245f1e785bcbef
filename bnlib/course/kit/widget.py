"""Widget: what the course's own widgets share: a whole plain text, and one living copy a cell."""

import anywidget
from IPython import get_ipython

_LIVING = {}  # cell id -> (the execution that made them, its widgets)


class Widget(anywidget.AnyWidget):
    """Base of the course's widgets. __repr__ is what stands where a widget cannot be shown.

    A cell that runs again closes what its last run made: ipywidgets keeps every widget, with its
    figure and its data, until somebody does.
    """

    def __init__(self, **traits):
        super().__init__(**traits)
        cell, execution = _running_cell()
        if cell is None:
            return
        last, widgets = _LIVING.get(cell, (None, []))
        if last != execution:
            for old in widgets:
                old.close()
            widgets = []
        _LIVING[cell] = execution, [*widgets, self]

    def close(self):
        """Leave the page and the kernel, and the layout too, which is a widget of its own."""
        self.layout.close()
        super().close()

    def _repr_mimebundle_(self, **options):
        bundle = super()._repr_mimebundle_(**options)
        if bundle is None:
            return {"text/plain": repr(self)}
        data = bundle[0] if isinstance(bundle, tuple) else bundle
        data["text/plain"] = repr(self)  # whole: ipywidgets cuts it
        return bundle


def _running_cell():
    """(cell id, execution id) of the cell that a notebook is running; (None, None) elsewhere."""
    kernel = getattr(get_ipython(), "kernel", None)
    if kernel is None:
        return None, None
    request = kernel.get_parent()
    return request.get("metadata", {}).get("cellId"), request.get("header", {}).get("msg_id")
