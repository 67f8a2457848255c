"""The part of a machine that Ray has assigned to a process."""

import ray

from olivine.core.loader_share import Machine, part_of, this_machine


def assigned_machine() -> Machine:
    """Return this process's part of its machine, by the resource of which Ray gave it most.

    A worker with one of eight GPUs has an eighth of the CPUs, whatever else runs there.
    """
    context = ray.get_runtime_context()
    node = next(node for node in ray.nodes() if node["NodeID"] == context.get_node_id())
    return part_of(this_machine(), context.get_assigned_resources(), node["Resources"])
