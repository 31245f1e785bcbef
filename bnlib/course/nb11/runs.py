"""The stored training runs of notebook 11."""

from bnlib.course.kit.runs import reader

stored_runs = reader("11")


def tuned_by_way(runs, shift, batch):
    """way -> (rates, seeds) accuracy after fine-tuning on that shift in batches of that size."""
    i = runs["shifts"].tolist().index(shift)
    j = runs["batches"].tolist().index(batch)
    by_way = runs["tuning_accuracy"][:, i, j, ..., 0]  # (seeds, ways, rates)
    return {str(way): by_way[:, k].T for k, way in enumerate(runs["ways"])}
