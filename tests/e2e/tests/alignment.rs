#![forbid(unsafe_code)]
//! The short form of `e2e-alignment`: all sources at once, for as long as a reconnect and some 10 s GOPs take.

use e2e::alignment;
use e2e::harness::alone;

#[test]
fn all_renditions_are_cut_alike_whatever_comes_in() {
    let _alone = alone();
    let rows =
        alignment::run(&alignment::all(), 36, &[("ladder.preset", "economy")]).expect("the run goes through");
    let table = alignment::table(&rows);
    eprintln!("{table}");
    assert!(rows.len() >= 15);
    for row in &rows {
        assert!(row.faults.is_empty(), "{}:\n{table}", row.name);
        assert!(row.numbers >= 8 && row.ticks == 0 && row.probed >= 6, "{}:\n{table}", row.name);
    }
    assert!(rows.iter().filter(|row| row.returns > 0).count() >= 2, "{table}");
    let reached =
        |row: &&alignment::Row| row.name.contains("noise") && row.encoded.is_some_and(|(p, _)| p > 70.0);
    assert!(rows.iter().any(|row| reached(&row)), "no source comes near a cap:\n{table}");
}
