//! Walks a tree and says what it took: `walk PATH [THREADS [EXCLUDE...]]`. Compare with `find PATH -printf '%s %T@ %i\n'`.

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Instant;

use backstay_files::filter::{Filter, FilterOptions, Rule};
use backstay_files::walk::{Root, Step, Walk, WalkOptions};

#[expect(clippy::print_stdout, reason = "its output is what the program is for")]
fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let path = arguments.next().ok_or("usage: walk PATH [THREADS [EXCLUDE...]]")?;
    let threads: NonZeroUsize = arguments.next().map_or(Ok(NonZeroUsize::MIN), |threads| threads.parse())?;
    let roots = [Root::new(path.as_bytes())?];
    let rules = arguments.map(Rule::exclude).collect();
    let filter = Arc::new(Filter::new(&FilterOptions { rules, ..FilterOptions::default() })?);
    let began = Instant::now();
    let (mut entries, mut bytes, mut failures) = (0u64, 0u64, 0u64);
    let mut key = Vec::new();
    std::thread::scope(|scope| -> Result<(), Box<dyn std::error::Error>> {
        for step in Walk::start(scope, &roots, filter, WalkOptions::new(threads))? {
            let Step::Entries(batch) = step else {
                failures += 1;
                continue;
            };
            for entry in batch.entries() {
                batch.directory().put_key_of(entry.name, &mut key);
                std::hint::black_box(&key);
                entries += 1;
                match entry.stat {
                    Ok(stat) => bytes += stat.size_bytes,
                    Err(_) => failures += 1,
                }
            }
        }
        Ok(())
    })?;
    let seconds = began.elapsed().as_secs_f64();
    println!("{entries} entries, {bytes} bytes, {failures} failures in {seconds:.3} s");
    Ok(())
}
