//! A world in which several processes use one store, and which a seed decides: who goes next, what happens to each request, what
//! time it is.
//!
//! Invariants:
//! - Every process is a thread, and only one of them runs at a time. Each request to the store waits until the world lets it go
//!   on; what is between two requests happens at once. So a seed is one story, told again whenever it is run again.
//! - Nothing takes time: the world's clock moves with requests, waits and pauses, and jumps where everybody waits.
//! - A process that dies makes no further request. What it had sent may still arrive.
//!
//! Threads that a process starts itself are not scheduled: their requests are done at once, unharmed. What a process does
//! is in the tests; `store` does the requests.

mod store;

use std::any::Any;
use std::cell::Cell;
use std::collections::BTreeMap;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use backstay_repo::store::{Store, StoreOptions};
use bytes::Bytes;
use jiff::{SignedDuration, Timestamp};
use parking_lot::{Condvar, Mutex, MutexGuard};

use crate::data::Dice;
use crate::faulty::Verb;
use store::{Action, SimulatedStore, WorldClock};

/// A real minute without a request means that the simulation hangs.
const HANG: Duration = Duration::from_mins(2);
/// More requests than any story needs: somebody repeats for ever.
const REQUESTS_MAX: u64 = 1_000_000;

/// What is stored.
pub type Objects = BTreeMap<String, Object>;

/// One stored object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Object {
    pub body: Bytes,
    /// On the world's clock.
    pub modified: Duration,
}

/// What happens to one request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event {
    /// The process dies: the request never arrives.
    DieBefore,
    /// The process dies: the request was done.
    DieAfter,
    /// The process dies: the request arrives so much later.
    DieInFlight(Duration),
    /// The connection breaks before anything was done.
    FailBefore,
    /// Done, but the reply is lost.
    FailAfter,
    /// Never done, never answered.
    Unanswered,
    /// Done, never answered.
    UnansweredAfter,
    /// Never answered, and done so much later.
    Late(Duration),
    /// Done and answered; and delivered once more so much later.
    Again(Duration),
    /// Done twice; the answer is the second one's.
    Twice,
    /// The process sleeps so long before the request is done.
    PauseBefore(Duration),
    /// The process sleeps so long after the request was done, before it learns of that.
    PauseAfter(Duration),
    /// This one and the next so many fail before they are done.
    Outage(u32),
    Denied,
    Full,
}

/// How often what happens to a process's requests, in 1024.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Rates {
    pub deaths: u64,
    /// Failures, lost replies, repetitions, late arrivals.
    pub faults: u64,
    pub pauses: u64,
    pub outages: u64,
    /// Refusals for good: no permission, no space.
    pub refusals: u64,
}

/// What fate has for a process.
#[derive(Debug, Clone)]
pub enum Fate {
    /// Nothing.
    Quiet,
    /// This, at its `n`-th request from 0.
    At(u64, Event),
    Random(Rates),
}

/// One process to be.
pub struct Life<'a> {
    pub name: String,
    /// After the world's time when the run begins.
    pub starts_after: Duration,
    /// How far its clock is ahead of the world's.
    pub clock_offset: SignedDuration,
    pub fate: Fate,
    pub work: Box<dyn FnOnce(&Process) + Send + 'a>,
}

/// A living process, for its own code.
pub struct Process {
    world: World,
    index: usize,
    clock_offset: SignedDuration,
}

/// The world. Clones are the same one.
#[derive(Clone)]
pub struct World {
    shared: Arc<Shared>,
}

struct Shared {
    state: Mutex<State>,
    ended: Condvar,
}

/// Looks at every change of what is stored, before it is done; gives back what is wrong with it.
pub type Watch = Box<dyn FnMut(&Objects, Verb, &str) -> Option<String> + Send>;

struct State {
    objects: Objects,
    now: Duration,
    dice: Dice,
    /// How often in 1024 whoever ran goes on, if it can.
    stickiness: u64,
    processes: Vec<ProcessState>,
    /// Whose turn it is.
    current: Option<usize>,
    in_flight: Vec<Message>,
    watch: Option<Watch>,
    wrongs: Vec<String>,
    trace: Vec<Step>,
    tally: BTreeMap<&'static str, u64>,
    requests: u64,
}

struct ProcessState {
    name: String,
    turn: Arc<Condvar>,
    status: Status,
    fate: Fate,
    dice: Dice,
    requests: u64,
    outage_left: u32,
    is_dead: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Status {
    Waiting { until: Duration },
    Running,
    Ended,
}

/// A request that arrives later.
struct Message {
    due: Duration,
    name: String,
    action: Action,
}

/// One request in the order in which they were done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    pub process: String,
    pub now: Duration,
    pub verb: Verb,
    pub name: String,
    pub event: Option<Event>,
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { process, now, verb, name, event } = self;
        write!(f, "{:>12.3} s {process:<14} {verb:?} {name}", now.as_secs_f64())?;
        event.map_or(Ok(()), |event| write!(f, "  << {event:?}"))
    }
}

thread_local! {
    /// The process that this thread is.
    static SELF: Cell<Option<usize>> = const { Cell::new(None) };
}

impl World {
    /// One that holds these objects, at a time on its own clock.
    pub fn new(seed: u64, objects: Objects, now: Duration) -> Self {
        let mut dice = Dice::new(seed);
        let stickiness = *dice.choose(&[0, 512, 900, 1000]);
        let state = State {
            objects,
            now,
            dice,
            stickiness,
            processes: Vec::new(),
            current: None,
            in_flight: Vec::new(),
            watch: None,
            wrongs: Vec::new(),
            trace: Vec::new(),
            tally: BTreeMap::new(),
            requests: 0,
        };
        Self { shared: Arc::new(Shared { state: Mutex::new(state), ended: Condvar::new() }) }
    }

    /// Lets these processes live, until the last has ended. Their requests that are still on their way stay so.
    pub fn run(&self, lives: Vec<Life<'_>>) {
        if lives.is_empty() {
            return;
        }
        let mut jobs = Vec::new();
        let mut state = self.shared.state.lock();
        for life in lives {
            let index = state.processes.len();
            let (dice, until) = (state.dice.fork(), state.now + life.starts_after);
            let seed = state.dice.roll();
            state.processes.push(ProcessState {
                name: life.name,
                turn: Arc::new(Condvar::new()),
                status: Status::Waiting { until },
                fate: life.fate,
                dice,
                requests: 0,
                outage_left: 0,
                is_dead: false,
            });
            let process = Process { world: self.clone(), index, clock_offset: life.clock_offset };
            jobs.push((process, seed, life.work));
        }
        state.dispatch();
        drop(state);
        std::thread::scope(|scope| {
            for (process, seed, work) in jobs {
                scope.spawn(move || process.live(seed, work));
            }
            self.wait_for_the_end();
        });
    }

    fn wait_for_the_end(&self) {
        let mut state = self.shared.state.lock();
        while state.current.is_some() {
            let before = state.requests;
            let waited = self.shared.ended.wait_for(&mut state, HANG);
            if waited.timed_out() && state.requests == before && state.current.is_some() {
                let who = state.current.map_or("", |index| &state.processes[index].name[..]).to_owned();
                let steps: Vec<String> = state.trace.iter().rev().take(40).rev().map(ToString::to_string).collect();
                let text = format!("{}\nthe simulation hangs: {who} neither ends nor asks\n", steps.join("\n"));
                drop(state);
                // Its threads cannot be ended otherwise.
                let _ = std::io::Write::write_all(&mut std::io::stderr(), text.as_bytes());
                std::process::abort();
            }
        }
    }

    /// All that is on its way arrives, now.
    pub fn deliver_all(&self) {
        let mut state = self.shared.state.lock();
        state.deliver(Duration::MAX);
    }

    /// The store as an onlooker sees it, whom the world neither delays nor harms.
    pub fn store(&self) -> Store {
        self.shared.clone().open(None)
    }

    /// The time of day of an onlooker.
    pub fn clock(&self) -> backstay_repo::Clock {
        let shared = self.shared.clone();
        backstay_repo::Clock::new(move || shared.time_of_day(SignedDuration::ZERO))
    }

    pub fn objects(&self) -> Objects {
        self.shared.state.lock().objects.clone()
    }

    pub fn now(&self) -> Duration {
        self.shared.state.lock().now
    }

    pub fn advance(&self, by: Duration) {
        self.shared.state.lock().now += by;
    }

    /// See [`Watch`].
    pub fn watch(&self, watch: Watch) {
        self.shared.state.lock().watch = Some(watch);
    }

    /// What the watch objected to, and processes that panicked.
    pub fn wrongs(&self) -> Vec<String> {
        self.shared.state.lock().wrongs.clone()
    }

    /// Every request so far.
    pub fn trace(&self) -> Vec<Step> {
        self.shared.state.lock().trace.clone()
    }

    /// How often what happened.
    pub fn tally(&self) -> BTreeMap<&'static str, u64> {
        self.shared.state.lock().tally.clone()
    }
}

impl Process {
    fn live(self, seed: u64, work: Box<dyn FnOnce(&Self) + Send + '_>) {
        SELF.set(Some(self.index));
        backstay_format::simulation::seed_this_thread(seed);
        let shared = self.world.shared.clone();
        drop(wait_for_turn(shared.state.lock(), self.index));
        let outcome = catch_unwind(AssertUnwindSafe(|| work(&self)));
        let mut state = shared.state.lock();
        if let Err(panic) = outcome {
            let name = &state.processes[self.index].name;
            let text = format!("{name} panicked: {}", panic_text(panic.as_ref()));
            state.wrongs.push(text);
        }
        state.processes[self.index].status = Status::Ended;
        state.dispatch();
        if state.current.is_none() {
            shared.ended.notify_all();
        }
    }

    pub fn world(&self) -> &World {
        &self.world
    }

    /// Counted through all processes of the world.
    pub fn number(&self) -> usize {
        self.index
    }

    /// The store as this process sees it.
    pub fn store(&self) -> Store {
        self.world.shared.clone().open(Some(self.index))
    }

    /// Its own clock, which may be wrong.
    pub fn clock(&self) -> backstay_repo::Clock {
        let (shared, offset) = (self.world.shared.clone(), self.clock_offset);
        backstay_repo::Clock::new(move || shared.time_of_day(offset))
    }

    /// Dead processes get errors for answers: what they make of those does not count.
    pub fn is_dead(&self) -> bool {
        self.world.shared.state.lock().processes[self.index].is_dead
    }

    /// Does nothing for so long.
    pub fn sleep(&self, wait: Duration) {
        self.world.shared.park_for(Some(self.index), wait);
    }

    /// A note in the world's tally.
    pub fn note(&self, what: &'static str) {
        self.note_times(what, 1);
    }

    pub fn note_times(&self, what: &'static str, times: u64) {
        self.world.shared.state.lock().count_times(what, times);
    }
}

impl Shared {
    fn open(self: Arc<Self>, process: Option<usize>) -> Store {
        let clock = Arc::new(WorldClock { shared: self.clone(), process });
        let store = Arc::new(SimulatedStore { shared: self, process });
        Store::from_object_store_with(store, "memory://simulation", &StoreOptions::default(), clock)
            .expect("opening a store in memory only needs threads")
            .one_at_a_time()
    }

    fn time_of_day(&self, offset: SignedDuration) -> Timestamp {
        let now = SignedDuration::try_from(self.state.lock().now).expect("centuries");
        Timestamp::UNIX_EPOCH + now + offset
    }

    /// Whether this thread is this living process: others are not scheduled.
    fn is_scheduled(&self, process: Option<usize>) -> bool {
        process.is_some() && SELF.get() == process && !self.state.lock().processes[process.unwrap_or_default()].is_dead
    }

    fn park_for(&self, process: Option<usize>, wait: Duration) {
        if let Some(index) = process
            && self.is_scheduled(process)
        {
            let state = self.state.lock();
            let until = state.now + wait;
            drop(park(state, index, until));
        }
    }
}

/// Lets others run; comes back when it is this process's turn again, after `until`.
fn park(mut state: MutexGuard<'_, State>, index: usize, until: Duration) -> MutexGuard<'_, State> {
    state.processes[index].status = Status::Waiting { until };
    state.dispatch();
    wait_for_turn(state, index)
}

fn wait_for_turn(mut state: MutexGuard<'_, State>, index: usize) -> MutexGuard<'_, State> {
    let turn = state.processes[index].turn.clone();
    while state.current != Some(index) {
        turn.wait(&mut state);
    }
    state.processes[index].status = Status::Running;
    state
}

impl State {
    /// Decides whose turn it is.
    fn dispatch(&mut self) {
        loop {
            self.deliver(self.now);
            let waiting = self.processes.iter().enumerate().filter_map(|(index, process)| match process.status {
                Status::Waiting { until } => Some((index, until)),
                Status::Running | Status::Ended => None,
            });
            let waiting: Vec<(usize, Duration)> = waiting.collect();
            let ready: Vec<usize> =
                waiting.iter().filter(|(_, until)| *until <= self.now).map(|(index, _)| *index).collect();
            if ready.is_empty() {
                let Some(next) = waiting.iter().map(|(_, until)| *until).min() else {
                    self.current = None;
                    return;
                };
                let arrival = self.in_flight.iter().map(|message| message.due).min();
                self.now = arrival.map_or(next, |arrival| arrival.min(next));
                continue;
            }
            let goes_on = self.current.filter(|index| ready.contains(index) && self.dice.chance(self.stickiness));
            let next = goes_on.unwrap_or_else(|| *self.dice.choose(&ready));
            self.now += Duration::from_millis(1 + self.dice.below(200));
            self.current = Some(next);
            self.processes[next].turn.notify_one();
            return;
        }
    }

    /// Does the requests that were on their way until then.
    fn deliver(&mut self, until: Duration) {
        while let Some(position) = self.earliest_before(until) {
            let Message { name, action, .. } = self.in_flight.remove(position);
            self.count("late arrivals");
            self.log("(network)".to_owned(), action.verb(), &name, None);
            let _ = self.perform(&name, &action);
        }
    }

    fn earliest_before(&self, until: Duration) -> Option<usize> {
        let due = self.in_flight.iter().enumerate().filter(|(_, message)| message.due <= until);
        due.min_by_key(|(_, message)| message.due).map(|(position, _)| position)
    }

    fn send_later(&mut self, after: Duration, name: &str, action: &Action) {
        // Reading late changes nothing.
        if action.changes() {
            self.in_flight.push(Message { due: self.now + after, name: name.to_owned(), action: action.clone() });
        }
    }

    fn count(&mut self, what: &'static str) {
        self.count_times(what, 1);
    }

    fn count_times(&mut self, what: &'static str, times: u64) {
        *self.tally.entry(what).or_default() += times;
    }

    fn log(&mut self, process: String, verb: Verb, name: &str, event: Option<Event>) {
        self.trace.push(Step { process, now: self.now, verb, name: name.to_owned(), event });
    }

    /// What happens to the next request of a process.
    fn draw(&mut self, index: usize, action: &Action) -> Option<Event> {
        self.requests += 1;
        assert!(self.requests < REQUESTS_MAX, "somebody repeats for ever");
        let process = &mut self.processes[index];
        let number = process.requests;
        process.requests += 1;
        if process.outage_left > 0 {
            process.outage_left -= 1;
            return Some(Event::FailBefore);
        }
        let event = match process.fate {
            Fate::Quiet => None,
            Fate::At(at, event) => (at == number).then_some(event),
            Fate::Random(rates) => rates.draw(&mut process.dice, action.changes()),
        };
        if let Some(Event::Outage(more)) = event {
            process.outage_left = more;
        }
        event
    }
}

impl Rates {
    fn draw(&self, dice: &mut Dice, changes: bool) -> Option<Event> {
        let Self { deaths, faults, pauses, outages, refusals } = *self;
        let mut roll = dice.below(1024);
        let mut falls_into = |rate: u64| {
            let falls = roll < rate;
            roll = if falls { u64::MAX } else { roll - rate };
            falls
        };
        let minutes = |minutes: u64| Duration::from_mins(minutes);
        // From a moment to ten days: before, within and after every grace and every retry.
        let delays = [minutes(0), minutes(1), minutes(20), minutes(60 * 7), minutes(60 * 49), minutes(60 * 240)];
        if falls_into(deaths) {
            let after = *dice.choose(&delays);
            return Some(*dice.choose(&[Event::DieBefore, Event::DieAfter, Event::DieInFlight(after)]));
        }
        if falls_into(faults) {
            let after = *dice.choose(&delays);
            let all = [
                Event::FailBefore,
                Event::FailAfter,
                Event::Unanswered,
                Event::UnansweredAfter,
                Event::Twice,
                Event::Late(after),
                Event::Again(after),
            ];
            return Some(*dice.choose(if changes { &all } else { &all[..3] }));
        }
        if falls_into(pauses) {
            let after = *dice.choose(&delays);
            return Some(*dice.choose(&[Event::PauseBefore(after), Event::PauseAfter(after)]));
        }
        if falls_into(outages) {
            return Some(Event::Outage(1 + dice.below(60) as u32));
        }
        if falls_into(refusals) {
            return Some(*dice.choose(if changes { &[Event::Denied, Event::Full][..] } else { &[Event::Denied] }));
        }
        None
    }
}

fn panic_text(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().cloned();
    text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned())).unwrap_or_default()
}
