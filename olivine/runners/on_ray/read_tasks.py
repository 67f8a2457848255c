"""A source of Ray Data whose read tasks are its own, however many Ray asks for."""

from abc import abstractmethod
from collections.abc import Callable, Iterable, Iterator

import pyarrow as pa
from ray.data import DataContext, Datasource, ReadTask
from ray.data.block import BlockMetadata


class FixedReadTasks(Datasource):
    """Has one read task per chunk of its rows."""

    @abstractmethod
    def chunks(self) -> Iterator[tuple[Callable[[], Iterable[pa.Table]], int]]:
        """Yield for each chunk the function that reads it and its number of rows."""

    def estimate_inmemory_data_size(self) -> int | None:
        """Return None; the size is unknown before the rows are read."""
        return None

    def get_read_tasks(
        self,
        parallelism: int,
        per_task_row_limit: int | None = None,
        data_context: DataContext | None = None,
    ) -> list[ReadTask]:
        """Return the tasks; their number does not depend on `parallelism`."""
        return [
            ReadTask(
                read,
                BlockMetadata(
                    num_rows=num_rows, size_bytes=None, input_files=None, exec_stats=None
                ),
            )
            for read, num_rows in self.chunks()
        ]
