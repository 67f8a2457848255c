"""The data sets that a run read, as MLflow records them."""

from olivine.tracking.mlflow_backend.client import CONTEXT, open_client, store_errors


def inputs_of(uri: str, run_id: str) -> dict[str, str]:
    """Return the fingerprints of the data sets that a run read, by "data.train", "data.val", ...

    Raises UserError if the store cannot answer.
    """
    with store_errors(uri):
        inputs = open_client(uri).get_run(run_id).inputs.dataset_inputs
    found = {}
    for one in inputs:
        context = next((tag.value for tag in one.tags if tag.key == CONTEXT), one.dataset.name)
        found[f"data.{context}"] = one.dataset.digest
    return found
