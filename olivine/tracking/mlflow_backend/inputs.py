"""The data sets that a run read, as MLflow keeps them with it."""

from olivine.tracking.mlflow_backend.client import CONTEXT, open_client, told


def inputs_of(uri: str, run_id: str) -> dict[str, str]:
    """Return "data.train" and so on -> fingerprint of the data sets that a run read."""
    with told(uri):
        inputs = open_client(uri).get_run(run_id).inputs.dataset_inputs
    found = {}
    for one in inputs:
        context = next((tag.value for tag in one.tags if tag.key == CONTEXT), one.dataset.name)
        found[f"data.{context}"] = one.dataset.digest
    return found
