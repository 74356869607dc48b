//! The reading of what divan and callgrind say of the engine's parts, whose errors would show only as
//! wrong figures.

#[path = "../benches/parts/table.rs"]
mod table;

/// As divan draws it.
const TREE: &str = "Timer precision: 15 ns
parts          fastest       \u{2502} slowest       \u{2502} median        \u{2502} mean          \u{2502} samples \u{2502} iters
\u{2570}\u{2500} part                      \u{2502}               \u{2502}               \u{2502}               \u{2502}         \u{2502}
   \u{251c}\u{2500} crc      1.5 \u{b5}s        \u{2502} 9 ms          \u{2502} 2.25 \u{b5}s       \u{2502} 3 \u{b5}s          \u{2502} 200     \u{2502} 200
   \u{2570}\u{2500} loop/10  310 ns        \u{2502} 2 s           \u{2502} 1.002 s       \u{2502} 1 s           \u{2502} 200     \u{2502} 200
";

#[test]
fn rows_of_the_tree_become_nanoseconds() {
    let rows = table::times(TREE);

    let labels: Vec<&str> = rows.iter().map(|(label, _)| label.as_str()).collect();
    assert_eq!(labels, ["crc", "loop/10"]);
    let times = rows.iter().flat_map(|(_, time)| [time.least, time.median]);
    let wanted = [1_500.0, 2_250.0, 310.0, 1_002_000_000.0];
    assert!(times.zip(wanted).all(|(ns, wanted)| (ns - wanted).abs() < 0.001), "{rows:?}");
}

#[test]
fn the_sum_of_a_dump_is_found_and_a_dump_without_one_is_refused() {
    assert_eq!(table::total("events: Ir\nsummary: 33684\n\nfn=(1) main\n"), Some(33684.0));
    assert_eq!(table::total("events: Ir\n"), None);
}

#[test]
fn a_table_divides_a_run_by_its_operations() {
    let time = table::Time { least: 5_000.0, median: 12_345.0 };
    let rows = [("crc".to_owned(), time, table::float(1000), Some(161.2))];

    let text = table::table(&rows);

    assert!(text.contains("\n| crc | 12 | 5.0 | 161 |\n"), "{text}");
}
