//! The whole comparison, as a table in markdown.

use std::{
    fmt,
    panic::resume_unwind,
    thread::{self, ScopedJoinHandle},
};

use clap::ValueEnum;

use crate::{
    contender::Contender,
    experiment::{Cost, ExperimentError, Lab},
    figures::median,
};

/// How many viewers are counted, and how many most rows are about.
const CROWDS: [usize; 3] = [50, 200, 500];
const USUAL: usize = 200;

/// A group of rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Part {
    /// Processor time and memory at 50, 200 and 500 viewers.
    Cost,
    /// Normal viewers beside slow, stalled and churning ones.
    Mixed,
    /// A viewer that reads slowly.
    Slow,
    /// Viewers that stop to read.
    Stalled,
    /// Viewers that join.
    Join,
    /// A camera behind a narrow uplink.
    Uplink,
}

/// Which rows and columns, and how often what wavers is measured.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    /// The columns.
    pub(crate) contenders: Vec<Contender>,
    /// The groups of rows.
    pub(crate) parts: Vec<Part>,
    /// How often costs are measured, all contenders in turn each time.
    pub(crate) rounds: usize,
}

/// What came out.
#[derive(Debug)]
pub(crate) struct Table {
    contenders: Vec<Contender>,
    rows: Vec<Row>,
}

#[derive(Debug)]
struct Row {
    what: String,
    target: &'static str,
    cells: Vec<String>,
}

impl Table {
    /// Measures all that `plan` names. What cannot be measured is said on
    /// standard error and stays empty.
    ///
    /// # Errors
    /// When it is to stop.
    pub(crate) fn measure(lab: &Lab, plan: Plan) -> Result<Self, ExperimentError> {
        let mut table = Self {
            contenders: plan.contenders,
            rows: Vec::new(),
        };
        for part in plan.parts {
            match part {
                Part::Cost => table.add_costs(lab, plan.rounds)?,
                Part::Mixed => table.add_mixed(lab)?,
                Part::Slow => table.add_slow(lab)?,
                Part::Stalled => table.add_stalled(lab)?,
                Part::Join => table.add_join(lab)?,
                Part::Uplink => table.add_uplink(lab)?,
            }
        }
        Ok(table)
    }

    fn add_costs(&mut self, lab: &Lab, rounds: usize) -> Result<(), ExperimentError> {
        let camera = lab.camera(lab.fps)?;
        for viewers in CROWDS {
            let mut costs = Vec::new();
            for round in 1..=rounds {
                let what = format!("{viewers} viewers, round {round} of {rounds}");
                costs.push(self.each(&what, |contender| lab.cost(contender, &camera, viewers))?);
            }
            let of = |figure: &dyn Fn(&Cost) -> f64| self.medians(&costs, figure);
            let relative = self.relative_costs(&costs);
            let cpu = of(&|cost| cost.cpu_per_gb);
            let target = match viewers {
                USUAL => "≤ 1.2",
                _ => "flat",
            };
            let fps = of(&|cost| cost.fps);
            let memory = of(&|cost| cost.memory / 1e6);
            self.add(
                &format!("CPU per GB at {viewers} viewers, relative to the floor"),
                target,
                relative,
                2,
            );
            self.add(
                &format!("the same in seconds per GB, at {viewers} viewers"),
                "",
                cpu,
                3,
            );
            let target = match viewers {
                500 => "≤ 20",
                _ => "",
            };
            self.add(
                &format!("memory at {viewers} viewers, MB"),
                target,
                memory,
                1,
            );
            self.add(
                &format!("pictures a second at a viewer, of {viewers}"),
                "",
                fps,
                1,
            );
            if viewers == USUAL {
                let ages = self.medians(&costs, &|cost| cost.age.map_or(f64::NAN, |age| age.0));
                self.add(&format!("age at {viewers} viewers, median, s"), "", ages, 3);
            }
        }
        Ok(())
    }

    fn add_mixed(&mut self, lab: &Lab) -> Result<(), ExperimentError> {
        let camera = lab.camera(lab.fps)?;
        let costs = self.each("all kinds of viewers", |contender| {
            lab.mixed(contender, &camera, USUAL)
        })?;
        let costs = [costs];
        let beside = format!("{USUAL} viewers beside slow, stalled and churning ones, 10 each");
        let fps = self.medians(&costs, &|cost| cost.fps);
        self.add(&format!("pictures a second at {beside}"), "", fps, 1);
        let oldest = self.medians(&costs, &|cost| cost.age.map_or(f64::NAN, |age| age.1));
        self.add("their pictures' age, 99th percentile, s", "", oldest, 3);
        let memory = self.medians(&costs, &|cost| cost.memory / 1e6);
        self.add("memory then, MB", "", memory, 1);
        Ok(())
    }

    fn add_slow(&mut self, lab: &Lab) -> Result<(), ExperimentError> {
        let camera = lab.camera(lab.fps)?;
        eprintln!("slow viewers, of all servers at once");
        let measured = thread::scope(|scope| {
            let measure = |contender: &Contender| {
                let (contender, camera) = (*contender, &camera);
                scope.spawn(move || lab.slow_age(contender, camera))
            };
            let running: Vec<_> = self.contenders.iter().map(measure).collect();
            let joined = running.into_iter().map(ScopedJoinHandle::join);
            joined.collect::<Vec<_>>()
        });
        let named = self.contenders.iter().zip(measured);
        let ages = named.map(|(contender, measured)| {
            settle(
                *contender,
                measured.unwrap_or_else(|panic| resume_unwind(panic)),
            )
        });
        let ages = ages.collect::<Result<Vec<_>, _>>()?;
        let seconds = |age: Option<f64>| age.unwrap_or(f64::NAN);
        let half_way = ages
            .iter()
            .map(|ages| ages.map(|ages| seconds(ages.half_way)));
        let end = ages.iter().map(|ages| ages.map(|ages| seconds(ages.end)));
        let what = "age at a viewer that reads at 20% of the rate";
        self.add(
            &format!("{what}, after 30 s, s"),
            "≤ 1.0",
            half_way.collect(),
            2,
        );
        self.add(&format!("{what}, after 60 s, s"), "≤ 1.0", end.collect(), 2);
        Ok(())
    }

    fn add_stalled(&mut self, lab: &Lab) -> Result<(), ExperimentError> {
        let camera = lab.camera(lab.fps)?;
        let costs = self.each("stalled viewers", |contender| {
            lab.stall_cost(contender, &camera)
        })?;
        let kernel = costs
            .iter()
            .map(|cost| cost.map(|cost| cost.kernel / 1024.0));
        let process = costs
            .iter()
            .map(|cost| cost.map(|cost| cost.process / 1024.0));
        self.add(
            "kernel memory per stalled viewer, KB",
            "≤ 64",
            kernel.collect(),
            0,
        );
        self.add(
            "the server's own memory for it after 10 s, KB",
            "",
            process.collect(),
            0,
        );
        Ok(())
    }

    fn add_join(&mut self, lab: &Lab) -> Result<(), ExperimentError> {
        let joins = self.each("joining viewers", |contender| lab.join_time(contender))?;
        let millis = joins.into_iter().map(|join| Some(join?? * 1000.0));
        self.add(
            "first picture for a joining viewer, 2 fps, beyond the handshake, ms",
            "≤ 40",
            millis.collect(),
            1,
        );
        Ok(())
    }

    fn add_uplink(&mut self, lab: &Lab) -> Result<(), ExperimentError> {
        for (as_box, camera, target) in [
            (false, "a camera with default buffers", ""),
            (true, "one that sends as a box does", "≤ 0.25"),
        ] {
            let ages = self.each("a narrow uplink", |contender| match contender {
                // It has no camera to pull from.
                Contender::Floor => Ok(None),
                _ => lab.uplink_age(contender, as_box),
            })?;
            let ages = ages.into_iter().map(Option::flatten).collect();
            self.add(
                &format!("uplink at half the rate, {camera}: median age at 3 viewers, s"),
                target,
                ages,
                2,
            );
        }
        Ok(())
    }

    /// Measures every contender in turn. One that fails has no figure.
    fn each<T>(
        &self,
        what: &str,
        mut measure: impl FnMut(Contender) -> Result<T, ExperimentError>,
    ) -> Result<Vec<Option<T>>, ExperimentError> {
        let measured = self.contenders.iter().map(|contender| {
            eprintln!("{what}: {}", contender.name());
            settle(*contender, measure(*contender))
        });
        measured.collect()
    }

    /// For each contender, the median of its ratios to the floor, each of one round.
    fn relative_costs(&self, rounds: &[Vec<Option<Cost>>]) -> Vec<Option<f64>> {
        let floor = self
            .contenders
            .iter()
            .position(|contender| *contender == Contender::Floor);
        let relative = |contender: usize| {
            let ratios = rounds
                .iter()
                .filter_map(|round| Some(round[contender]?.cpu_per_gb / round[floor?]?.cpu_per_gb));
            median(&mut ratios.collect::<Vec<_>>())
        };
        (0..self.contenders.len()).map(relative).collect()
    }

    /// For each contender, the median of a figure of all rounds.
    fn medians(
        &self,
        rounds: &[Vec<Option<Cost>>],
        figure: &dyn Fn(&Cost) -> f64,
    ) -> Vec<Option<f64>> {
        let of = |contender: usize| {
            let figures = rounds
                .iter()
                .filter_map(|round| Some(figure(round[contender].as_ref()?)));
            median(&mut figures.collect::<Vec<_>>())
        };
        (0..self.contenders.len()).map(of).collect()
    }

    fn add(&mut self, what: &str, target: &'static str, figures: Vec<Option<f64>>, digits: usize) {
        let cell = |figure: &Option<f64>| match figure {
            Some(figure) if figure.is_finite() => format!("{figure:.digits$}"),
            _ => "–".to_owned(),
        };
        let row = Row {
            what: what.to_owned(),
            target,
            cells: figures.iter().map(cell).collect(),
        };
        eprintln!("{row}");
        self.rows.push(row);
    }
}

/// A figure, or none and a line that says why.
fn settle<T>(
    contender: Contender,
    measured: Result<T, ExperimentError>,
) -> Result<Option<T>, ExperimentError> {
    match measured {
        // It is to stop.
        Err(error @ ExperimentError::Crowd(_)) => Err(error),
        Err(error) => {
            eprintln!("pinhole-load: {}: {error}", contender.name());
            Ok(None)
        }
        Ok(figure) => Ok(Some(figure)),
    }
}

impl fmt::Display for Row {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "| {} | {} |", self.what, self.target)?;
        self.cells
            .iter()
            .try_for_each(|cell| write!(formatter, " {cell} |"))
    }
}

impl fmt::Display for Table {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = self.contenders.iter().map(|contender| contender.name());
        write!(formatter, "| | target |")?;
        names
            .clone()
            .try_for_each(|name| write!(formatter, " {name} |"))?;
        write!(formatter, "\n|---|---|")?;
        names.clone().try_for_each(|_| write!(formatter, "--:|"))?;
        self.rows
            .iter()
            .try_for_each(|row| write!(formatter, "\n{row}"))
    }
}
