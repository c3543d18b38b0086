"""What Snowflake's own Python connector does with the mock warehouse, unmodified.

The environment says where the server is (MOCK_PORT), which keys there are (KEY_FILE, OTHER_KEY_FILE), and where the setup
script (SETUP_FILE) and a Parquet file of two events (PARQUET_FILE) lie. Each function is a test; they run in order.
"""

import datetime
import decimal
import os
import pathlib
import tempfile
import threading
import time

import snowflake.connector
from snowflake.connector import errors

PLACE = {"database": "METRICS", "schema": "PUBLIC", "warehouse": "LOADING"}


def connect(**others):
    settings = {
        "account": "MOCK",
        "user": "kafka_service",
        "private_key_file": os.environ["KEY_FILE"],
        "host": "127.0.0.1",
        "port": int(os.environ["MOCK_PORT"]),
        "protocol": "http",
    }
    return snowflake.connector.connect(**{**settings, **others})


def rows(connection, statement, *arguments):
    return connection.cursor().execute(statement, *arguments).fetchall()


def refused(action, code, sql_state=None):
    try:
        action()
    except errors.Error as error:
        assert error.errno == code, (error.errno, error.sqlstate, error.msg)
        assert sql_state in (None, error.sqlstate), (error.sqlstate, error.msg)
        return error
    raise AssertionError(f"nothing was refused with {code}")


def a_wrong_key_is_refused():
    try:
        connect(private_key_file=os.environ["OTHER_KEY_FILE"])
    except errors.DatabaseError as error:
        assert "JWT token is invalid" in str(error), error
    else:
        raise AssertionError("a wrong key logged in")


def the_setup_script_runs():
    with connect() as connection:
        script = pathlib.Path(os.environ["SETUP_FILE"]).read_text()
        for _ in connection.execute_string(script):
            pass


def a_file_is_loaded_by_way_of_a_stage():
    with connect(**PLACE) as connection:
        rows(connection, "CREATE STAGE IF NOT EXISTS inside ENCRYPTION = (TYPE = 'SNOWFLAKE_SSE')")
        file = pathlib.Path(os.environ["PARQUET_FILE"])
        put = f"PUT 'file://{file}' @inside/in AUTO_COMPRESS = FALSE SOURCE_COMPRESSION = NONE"
        [uploaded] = rows(connection, put)
        assert uploaded[:2] == (file.name, file.name) and uploaded[6] == "UPLOADED", uploaded
        [[name, size, *_]] = rows(connection, "LIST @inside")
        assert (name, size) == (f"inside/in/{file.name}", file.stat().st_size), (name, size)
        [again] = rows(connection, put)
        assert again[6] == "SKIPPED", again
        [replaced] = rows(connection, put + " OVERWRITE = TRUE")
        assert replaced[6] == "UPLOADED", replaced
        loaded = rows(
            connection,
            "INSERT INTO kafka_events_silver SELECT $1:event_id::VARCHAR, $1:customer_id::VARCHAR, $1:event_type::VARCHAR,"
            " $1:amount::NUMBER(18,2), $1:currency::VARCHAR, $1:event_timestamp::TIMESTAMP_NTZ(6),"
            f" $1:event_timestamp::TIMESTAMP_NTZ(6) FROM '@inside/in/{file.name}' (FILE_FORMAT => 'SLUICEBOX_PARQUET')",
        )
        assert loaded == [(2,)], loaded
        events = rows(connection, "SELECT event_id, amount, event_timestamp FROM kafka_events_silver ORDER BY event_id")
        assert events == [
            ("e-1", decimal.Decimal("19.99"), datetime.datetime(2026, 10, 8, 12, 0, 0, 5)),
            ("e-2", decimal.Decimal("5.00"), datetime.datetime(2026, 10, 8, 13, 0)),
        ], events
        with tempfile.TemporaryDirectory() as folder:
            rows(connection, f"GET @inside/in 'file://{folder}/'")
            found = [path for path in pathlib.Path(folder).rglob("*") if path.is_file()]
            assert [path.read_bytes() for path in found] == [file.read_bytes()], found


def a_stage_with_client_side_encryption_is_refused_with_a_hint():
    with connect(**PLACE) as connection:
        rows(connection, "CREATE STAGE IF NOT EXISTS full")
        file = os.environ["PARQUET_FILE"]
        error = refused(lambda: rows(connection, f"PUT 'file://{file}' @full"), 2)
        assert "SNOWFLAKE_SSE" in error.msg, error.msg


def the_views_are_read():
    with connect(**PLACE) as connection:
        views = ("event_funnel", "daily_customer_revenue", "real_time_customer_metrics", "top_customers", "hourly_trends")
        for view in views:
            cursor = connection.cursor()
            cursor.execute(f"SELECT * FROM {view}")
            assert cursor.description, view
            cursor.fetchall()


def values_come_back_typed():
    with connect(**PLACE) as connection:
        cursor = connection.cursor()
        cursor.execute(
            "SELECT 12::NUMBER(5,0) AS n, 12345678.91::NUMBER(18,2) AS d, 1.5::FLOAT AS f, 'a\nb''ä' AS s, TRUE AS yes,"
            " FALSE AS no, '2026-10-08'::DATE AS day, '12:34:56.123456'::TIME AS t,"
            " '2026-10-08 12:34:56.123456'::TIMESTAMP_NTZ AS ntz, '2026-10-08 12:34:56Z'::TIMESTAMP_LTZ AS ltz,"
            " PARSE_JSON('{\"a\": [1, null]}') AS v, NULL AS nothing"
        )
        assert [column.name for column in cursor.description] == "N D F S YES NO DAY T NTZ LTZ V NOTHING".split()
        [row] = cursor.fetchall()
        *plain, moment, variant, nothing = row
        expected = [12, decimal.Decimal("12345678.91"), 1.5, "a\nb'ä", True, False, datetime.date(2026, 10, 8)]
        expected += [datetime.time(12, 34, 56, 123456), datetime.datetime(2026, 10, 8, 12, 34, 56, 123456)]
        assert plain == expected, plain
        assert moment == datetime.datetime(2026, 10, 8, 12, 34, 56, tzinfo=datetime.timezone.utc), moment
        assert '"a"' in variant and nothing is None, (variant, nothing)
        rows(connection, "CREATE OR REPLACE TABLE bytes (b BINARY)")
        rows(connection, "INSERT INTO bytes SELECT X'00FF'")
        assert rows(connection, "SELECT b FROM bytes") == [(bytearray(b"\x00\xff"),)]


def bound_values_are_inserted():
    with connect(**PLACE, paramstyle="qmark") as connection:
        rows(connection, "CREATE OR REPLACE TABLE bound (n NUMBER, s VARCHAR)")
        cursor = connection.cursor()
        cursor.executemany("INSERT INTO bound VALUES (?, ?)", [(1, "one"), (2, None), (3, "it's")])
        assert cursor.rowcount == 3, cursor.rowcount
        assert rows(connection, "SELECT s FROM bound WHERE n = ?", (3,)) == [("it's",)]
    with connect(**PLACE) as connection:
        connection.cursor().executemany("INSERT INTO bound VALUES (%s, %s)", [(4, "four"), (5, None)])
        found = rows(connection, "SELECT n, s FROM bound WHERE n > %s ORDER BY n", (1,))
        assert found == [(2, None), (3, "it's"), (4, "four"), (5, None)], found


def an_error_has_code_and_state():
    with connect(**PLACE) as connection:
        error = refused(lambda: rows(connection, "SELECT * FROM nosuch"), 2003, "42S02")
        assert isinstance(error, errors.ProgrammingError) and error.sfqid, error
        refused(lambda: rows(connection, "SELEC 1"), 1003, "42000")
        assert rows(connection, "SELECT 1") == [(1,)]


def a_session_keeps_its_transaction_and_its_place():
    with connect() as connection, connect(**PLACE) as other:
        rows(connection, "USE WAREHOUSE loading")
        rows(connection, "USE SCHEMA metrics.public")
        rows(connection, "CREATE OR REPLACE TABLE kept (n NUMBER)")
        rows(connection, "BEGIN")
        rows(connection, "INSERT INTO kept VALUES (1)")
        assert rows(connection, "SELECT n FROM kept") == [(1,)]
        assert rows(other, "SELECT n FROM kept") == []
        connection.rollback()
        assert rows(connection, "SELECT n FROM kept") == []
        connection.autocommit(False)
        rows(connection, "INSERT INTO kept VALUES (2)")
        assert rows(other, "SELECT n FROM kept") == []
        connection.commit()
        assert rows(other, "SELECT n FROM kept") == [(2,)]


def several_statements_have_a_result_each():
    with connect(**PLACE) as connection:
        cursor = connection.cursor()
        cursor.execute("SELECT 1; SELECT 'two'", num_statements=2)
        assert cursor.fetchall() == [(1,)]
        assert cursor.nextset() and cursor.fetchall() == [("two",)]


def a_statement_runs_while_nobody_waits():
    with connect(**PLACE) as connection:
        cursor = connection.cursor()
        cursor.execute_async("SELECT 42")
        while connection.is_still_running(connection.get_query_status(cursor.sfqid)):
            time.sleep(0.05)
        later = connection.cursor()
        later.get_results_from_sfqid(cursor.sfqid)
        assert later.fetchall() == [(42,)]


def a_statement_that_waits_is_cancelled():
    """For the lock of a table, which another session's transaction holds."""
    with connect(**PLACE) as holder, connect(**PLACE) as connection:
        rows(holder, "CREATE OR REPLACE TABLE locked (n NUMBER)")
        rows(holder, "INSERT INTO locked VALUES (1)")
        rows(holder, "BEGIN")
        rows(holder, "UPDATE locked SET n = 2")
        cursor = connection.cursor()
        threading.Timer(1, lambda: connection.cursor().abort_query(cursor.sfqid)).start()
        cursor.execute_async("UPDATE locked SET n = 3")
        refused(lambda: (cursor.get_results_from_sfqid(cursor.sfqid), cursor.fetchall()), 604)
        with connect(**PLACE, session_parameters={"STATEMENT_TIMEOUT_IN_SECONDS": 1}) as impatient:
            refused(lambda: rows(impatient, "UPDATE locked SET n = 3"), 630, "57014")
        rows(holder, "ROLLBACK")
        assert rows(connection, "SELECT n FROM locked") == [(1,)]


def a_big_result_comes_in_chunks():
    with connect(**PLACE) as connection:
        text = "x" * 40
        values = ", ".join(f"({n}, '{text}')" for n in range(2000))
        rows(connection, "CREATE OR REPLACE TABLE big (n NUMBER, s VARCHAR)")
        rows(connection, f"INSERT INTO big VALUES {values}")
        found = rows(connection, "SELECT a.n * 5 + b.n, a.s FROM big a JOIN big b ON b.n < 5 ORDER BY 1")
        assert found == [(n, text) for n in range(10000)], len(found)


def an_expired_session_is_renewed():
    """The server of MOCK_PORT_SHORT gives session tokens that are good for a second."""
    with connect(port=int(os.environ["MOCK_PORT_SHORT"])) as connection:
        rows(connection, "ALTER SESSION SET QUERY_TAG = 'kept'")
        time.sleep(1.5)
        assert rows(connection, "SELECT 1") == [(1,)]


def main():
    for test in (
        a_wrong_key_is_refused,
        the_setup_script_runs,
        a_file_is_loaded_by_way_of_a_stage,
        a_stage_with_client_side_encryption_is_refused_with_a_hint,
        the_views_are_read,
        values_come_back_typed,
        bound_values_are_inserted,
        an_error_has_code_and_state,
        a_session_keeps_its_transaction_and_its_place,
        several_statements_have_a_result_each,
        a_statement_runs_while_nobody_waits,
        a_statement_that_waits_is_cancelled,
        a_big_result_comes_in_chunks,
        an_expired_session_is_renewed,
    ):
        began = time.monotonic()
        test()
        print(f"{test.__name__}: {time.monotonic() - began:.1f} s", flush=True)


if __name__ == "__main__":
    main()
