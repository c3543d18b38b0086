//! FLATTEN, and what VARIANT, OBJECT and ARRAY are made of and asked for.

use super::{fail, rows, run, warehouse};

#[tokio::test]
async fn each_element_is_a_row() {
    let (_, mut session) = warehouse().await;
    let from = |input: &str, arguments: &str| {
        format!(
            "SELECT f.seq, f.key, f.path, f.index, TO_JSON(f.value), TO_JSON(f.this)
             FROM (SELECT PARSE_JSON('{input}') AS v) t, LATERAL FLATTEN(input => t.v{arguments}) f"
        )
    };
    for (input, arguments, expected) in [
        (
            "[1,{\"b\":null}]",
            "",
            vec![
                "1|-|[0]|0|1|[1,{\"b\":null}]",
                "1|-|[1]|1|{\"b\":null}|[1,{\"b\":null}]",
            ],
        ),
        (
            "{\"a\":[1],\"b c\":{\"d\":3}}",
            ", recursive => true",
            vec![
                "1|a|a|-|[1]|{\"a\":[1],\"b c\":{\"d\":3}}",
                "1|-|a[0]|0|1|[1]",
                "1|b c|['b c']|-|{\"d\":3}|{\"a\":[1],\"b c\":{\"d\":3}}",
                "1|d|['b c'].d|-|3|{\"d\":3}",
            ],
        ),
        (
            "{\"a\":[7,8],\"b\":1}",
            ", path => 'a'",
            vec!["1|-|a[0]|0|7|[7,8]", "1|-|a[1]|1|8|[7,8]"],
        ),
        (
            "{\"a\":[7],\"b\":1}",
            ", recursive => true, mode => 'ARRAY'",
            vec!["1|-|a[0]|0|7|[7]"],
        ),
        ("[]", "", vec![]),
        ("[]", ", outer => true", vec!["1|-||-|-|[]"]),
        ("5", "", vec![]),
    ] {
        assert_eq!(
            rows(&mut session, &from(input, arguments)).await,
            expected,
            "{input}{arguments}"
        );
    }
}

#[tokio::test]
async fn rows_stay_beside_their_elements() {
    let (_, mut session) = warehouse().await;
    run(
        &mut session,
        "CREATE TABLE t (id NUMBER, v VARIANT); INSERT INTO t SELECT 1, PARSE_JSON('[[1,2],[3]]');
         INSERT INTO t SELECT 2, PARSE_JSON('[]'); INSERT INTO t SELECT 3, NULL; INSERT INTO t SELECT 4, PARSE_JSON('[[9]]')",
    )
    .await;
    for (sql, expected) in [
        (
            "SELECT id, f.index, g.value::NUMBER FROM t, LATERAL FLATTEN(input => v) f, LATERAL FLATTEN(f.value) g WHERE g.value::NUMBER > 1 ORDER BY 3",
            vec!["1|0|2", "1|1|3", "4|0|9"],
        ),
        (
            "SELECT id, COUNT(f.value) FROM t, TABLE(FLATTEN(input => t.v, outer => true)) f GROUP BY id ORDER BY id",
            vec!["1|2", "2|0", "3|0", "4|1"],
        ),
        (
            "SELECT id, ARRAY_SIZE(value) FROM t INNER JOIN LATERAL FLATTEN(v) ORDER BY 1, 2",
            vec!["1|1", "1|2", "4|1"],
        ),
        (
            "SELECT COUNT(DISTINCT f.seq) FROM t, LATERAL FLATTEN(v) f",
            vec!["2"],
        ),
        (
            "SELECT value::VARCHAR FROM TABLE(FLATTEN(input => SPLIT('a,b', ',')))",
            vec!["a", "b"],
        ),
    ] {
        assert_eq!(rows(&mut session, sql).await, expected, "{sql}");
    }
    run(&mut session, "CREATE VIEW w AS SELECT t.id, f.value::VARCHAR AS item FROM t, LATERAL FLATTEN(input => t.v) f").await;
    assert_eq!(
        rows(&mut session, "SELECT item FROM w WHERE id = 4").await,
        ["[9]"]
    );
    for (sql, code) in [
        ("SELECT * FROM TABLE(FLATTEN(input => 'abc'))", "001044"),
        (
            "SELECT (SELECT COUNT(*) FROM TABLE(FLATTEN(input => t.v))) FROM t",
            "002031",
        ),
        (
            "SELECT * FROM t LEFT JOIN LATERAL FLATTEN(t.v) f ON TRUE",
            "000002",
        ),
        (
            "SELECT * FROM t, LATERAL FLATTEN(input => t.v, nosuch => 1) f",
            "001003",
        ),
        (
            "SELECT * FROM t, LATERAL FLATTEN(input => t.nosuch) f",
            "000904",
        ),
    ] {
        assert_eq!(fail(&mut session, sql).await.code, code, "{sql}");
    }
}

#[tokio::test]
async fn values_are_gathered_in_arrays_and_objects() {
    let (_, mut session) = warehouse().await;
    let gathered = |expression: &str| {
        format!(
            "SELECT TO_JSON({expression}) FROM VALUES ('b', 2), ('a', 10), ('a', NULL), (NULL, 2)"
        )
    };
    for (expression, expected) in [
        ("ARRAY_AGG(column2)", "[2,10,2]"),
        (
            "ARRAY_AGG(column1) WITHIN GROUP (ORDER BY column2 DESC, column1)",
            "[\"a\",\"a\",\"b\"]",
        ),
        ("ARRAY_SIZE(ARRAY_AGG(DISTINCT column2))", "2"),
        ("OBJECT_AGG(column1, column2)", "{\"a\":10,\"b\":2}"),
        (
            "SPLIT(LISTAGG(DISTINCT column2, '/') WITHIN GROUP (ORDER BY column2 DESC), '/')",
            "[\"10\",\"2\"]",
        ),
        (
            "SPLIT(LISTAGG(column1, ',') WITHIN GROUP (ORDER BY column2, column1), ',')",
            "[\"b\",\"a\",\"a\"]",
        ),
    ] {
        assert_eq!(
            rows(&mut session, &gathered(expression)).await,
            [expected],
            "{expression}"
        );
    }
    assert_eq!(
        rows(&mut session, "SELECT ARRAY_AGG(column1), LISTAGG(column1), OBJECT_AGG(column1, 1) FROM VALUES ('a') WHERE 1 = 0").await,
        ["[]||{}"]
    );
    for (sql, code) in [
        (
            "SELECT OBJECT_AGG(column1, 1) FROM VALUES ('a'), ('a')",
            "000002",
        ),
        (
            "SELECT LISTAGG(DISTINCT column1) WITHIN GROUP (ORDER BY column2) FROM VALUES (1, 2)",
            "002079",
        ),
    ] {
        assert_eq!(fail(&mut session, sql).await.code, code, "{sql}");
    }
}

#[tokio::test]
async fn parts_of_a_variant_are_found() {
    let (_, mut session) = warehouse().await;
    let v = "PARSE_JSON('{\"a\":{\"b\":[1,\"x\"]},\"n\":null,\"d\":1.5,\"t\":true}')";
    for (expression, expected) in [
        (format!("{v}:a.b[1]::VARCHAR"), "x"),
        (format!("{v}['a']['b'][0]"), "1"),
        (format!("GET({v}, 'd')"), "1.5"),
        (format!("GET({v}:a.b, 0)"), "1"),
        (format!("GET_PATH({v}, 'a.b[0]')"), "1"),
        (format!("GET({v}, 'nosuch')"), "-"),
        (format!("TYPEOF({v}:d)"), "DECIMAL"),
        (format!("TYPEOF({v}:a.b)"), "ARRAY"),
        (format!("TYPEOF({v}:n)"), "NULL_VALUE"),
        (format!("IS_NULL_VALUE({v}:n)"), "true"),
        (format!("{v}:n IS NULL"), "false"),
        (format!("{v}:nosuch IS NULL"), "true"),
        (format!("{v}:a.b[1] = 'x'"), "true"),
        (format!("{v}:d > 1"), "true"),
        (format!("{v}:t = TRUE"), "true"),
        (format!("{v}:d BETWEEN 1 AND 2"), "true"),
        (format!("ARRAY_TO_STRING(OBJECT_KEYS({v}), ',')"), "a,d,n,t"),
        (format!("ARRAY_SIZE({v}:a.b)"), "2"),
        (format!("ARRAY_SIZE({v}:d)"), "-"),
        ("ARRAY_CONTAINS(2, [1, 2])".to_owned(), "true"),
        ("ARRAY_CONTAINS('z', ['a'])".to_owned(), "false"),
        ("TO_JSON(ARRAY_APPEND([1], 'x'))".to_owned(), "[1,\"x\"]"),
        ("TO_JSON(ARRAY_CAT([1], [2]))".to_owned(), "[1,2]"),
        ("ARRAY_TO_STRING([1, 'b', NULL], '-')".to_owned(), "1-b-"),
        (
            "TO_JSON({'b': 1, 'a': 'x'})".to_owned(),
            "{\"a\":\"x\",\"b\":1}",
        ),
        (
            "TO_JSON(OBJECT_CONSTRUCT('a', [1], 'b', NULL))".to_owned(),
            "{\"a\":[1]}",
        ),
    ] {
        assert_eq!(
            rows(&mut session, &format!("SELECT {expression}")).await,
            [expected],
            "{expression}"
        );
    }
    for (sql, code) in [
        ("SELECT {'a': NULL}", "000002"),
        ("SELECT PARSE_JSON('1') < PARSE_JSON('2')", "000002"),
        ("SELECT PARSE_JSON('{')", "100069"),
        (
            "SELECT v FROM (SELECT PARSE_JSON('1') AS v) t ORDER BY v",
            "000002",
        ),
    ] {
        assert_eq!(fail(&mut session, sql).await.code, code, "{sql}");
    }
}
