"""Write the ledger of claims and the gallery of figures, and print the ledger.

.venv/bin/python scripts/claims.py                      # claims.json and README.md of figures/
.venv/bin/python scripts/claims.py --folder DIR         # of other figures
"""

import argparse
from pathlib import Path

from evidence.figure import ROOT
from evidence.gallery import write_gallery
from evidence.ledger import table

from jumpretrain.storage import folders


def main() -> None:
    parser = argparse.ArgumentParser(description="write the ledger of claims and the gallery")
    parser.add_argument("--folder", type=Path, default=ROOT / "figures", help="of the figures")
    folder = parser.parse_args().folder
    try:
        page = write_gallery(folder)
    except LookupError as error:
        raise SystemExit(str(error)) from None
    print(table(folders.read_json(folder / "claims.json")), f"look at {page}", sep="\n\n")


if __name__ == "__main__":
    main()
