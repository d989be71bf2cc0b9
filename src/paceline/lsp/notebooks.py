"""Which cells a notebook has, in their order. The cells' texts are documents like others."""

from __future__ import annotations

from collections.abc import Sequence

from lsprotocol import types


class Notebooks:
    """The open notebooks."""

    def __init__(self) -> None:
        self._cells: dict[str, list[types.NotebookCell]] = {}
        self._notebook_of: dict[str, str] = {}

    def open(self, uri: str, cells: Sequence[types.NotebookCell]) -> None:
        """This notebook has these cells."""
        self.close(uri)
        self._cells[uri] = list(cells)
        self._notebook_of.update((cell.document, uri) for cell in cells)

    def close(self, uri: str) -> None:
        """It is not open any more; nothing if it was not."""
        for cell in self._cells.pop(uri, ()):
            self._notebook_of.pop(cell.document, None)

    def change(
        self,
        uri: str,
        array: types.NotebookCellArrayChange | None,
        data: Sequence[types.NotebookCell],
    ) -> None:
        """Put the cells of `array` where it says, and take over what `data` says of cells by their address."""
        cells = self._cells.get(uri)
        if cells is None:
            return
        cells = list(cells)
        if array is not None:
            cells[array.start : array.start + array.delete_count] = array.cells or ()
        newer = {cell.document: cell for cell in data}
        self.open(uri, [newer.get(cell.document, cell) for cell in cells])

    def notebook_of(self, cell_uri: str) -> str | None:
        """The address of the notebook that a cell is in, if it is in one."""
        return self._notebook_of.get(cell_uri)

    def code_cells_above(self, cell_uri: str) -> list[str]:
        """Addresses of the code cells before this one, in their order."""
        above: list[str] = []
        for cell in self._cells.get(self._notebook_of.get(cell_uri, ""), ()):
            if cell.document == cell_uri:
                break
            if cell.kind == types.NotebookCellKind.Code:
                above.append(cell.document)
        return above
