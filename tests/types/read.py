"""What pyarrow finds in Parquet files: the columns' physical and logical types, and every value as JSON text."""

import json
import sys

import pyarrow
import pyarrow.parquet


def logical(column):
    kind = json.loads(column.logical_type.to_json())
    name = kind["Type"].upper()
    if name == "DECIMAL":
        return f"DECIMAL({kind['precision']},{kind['scale']})"
    if name == "TIMESTAMP":
        unit = {"microseconds": "MICROS"}.get(kind["timeUnit"], kind["timeUnit"])
        return f"TIMESTAMP({unit},{str(kind['isAdjustedToUTC']).lower()})"
    return name


def physical(column):
    length = f"({column.length})" if column.length and column.length > 0 else ""
    return column.physical_type + length


def stored(column):
    """Dates and timestamps as the integers that they are in the file."""
    integers = {pyarrow.date32(): pyarrow.int32(), pyarrow.timestamp("us"): pyarrow.int64()}
    return column.cast(integers.get(column.type, column.type))


def written(value):
    if isinstance(value, (str, bool, int)) or value is None:
        return json.dumps(value, ensure_ascii=False)
    if isinstance(value, float):
        return repr(value)
    return format(value, "f")


columns, rows = {}, []
for path in sys.argv[1:]:
    file = pyarrow.parquet.ParquetFile(path)
    for position in range(len(file.schema)):
        column = file.schema.column(position)
        columns[column.name] = [physical(column), logical(column)]
    table = file.read()
    read = {name: [written(value) for value in stored(table[name]).to_pylist()] for name in table.column_names}
    rows += [{name: values[at] for name, values in read.items()} for at in range(table.num_rows)]
json.dump({"columns": columns, "rows": rows}, sys.stdout)
