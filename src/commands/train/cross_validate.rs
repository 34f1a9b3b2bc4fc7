use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::CommandFactory;
use clap::error::ErrorKind;
use vultus::config::{Config, DeviceChoice};
use vultus::network::device;
use vultus::train::datasets::DatasetSpec;
use vultus::train::faces::Faces;
use vultus::train::folds::{By, Split};
use vultus::train::recipe::Recipe;
use vultus::train::report::comparison::Comparison;
use vultus::train::run::{Parts, rooted, sets};
use vultus::train::study::{Condition, Study, Wanted};

use super::dashboard::Dashboard;
use super::material::{Options, check_unlearnt, provenance};
use crate::commands::signal::stop_on_signal;

/// People are divided in the same way in every study, so that they can be held against each other.
const SPLIT_SEED: u64 = 0;

/// Compare recipes on the same people: once a fold, trained on the others
#[derive(clap::Args)]
#[command(after_help = "Examples:
  vultus train cross-validate models/recipes/cl-mex.toml --data ~/faces --folds 10
  vultus train cross-validate supervised.toml cl-mex.toml --data ~/faces --folds 3 --seeds 1,2,3 --labels 1,0.1
  vultus train cross-validate supervised.toml cl-mex.toml --data ~/faces --test kdef:other --leave-view-out --probe

The first recipe is what the others are compared with. The same command again goes on where it was broken off; another
one with the same `--output` adds to its report.")]
pub(super) struct Args {
    /// What to compare
    #[arg(value_name = "RECIPE", required = true)]
    recipes: Vec<PathBuf>,

    /// Split the people into so many folds
    #[arg(long, value_name = "K", default_value_t = 10, value_parser = clap::value_parser!(u16).range(2..=100))]
    folds: u16,

    /// What of the people's pictures stays together: with `picture`, people are in training and test, which shows how
    /// much that flatters
    #[arg(long, value_enum, default_value_t)]
    split: By,

    /// Do these folds alone, counted from 0
    #[arg(long, value_name = "N,…", value_delimiter = ',')]
    only_folds: Vec<usize>,

    /// Train with each of these seeds [default: the recipe's]
    #[arg(long, value_name = "N,…", value_delimiter = ',')]
    seeds: Vec<u64>,

    /// Shares of the people whose labels the second stage may use, such as 1,0.5,0.25,0.1,0.05,0.01; below 1 only of
    /// recipes whose first stage reads no labels
    #[arg(long, value_name = "SHARE,…", value_delimiter = ',', default_value = "1")]
    labels: Vec<f64>,

    /// Also train without each view in turn
    #[arg(long)]
    leave_view_out: bool,

    /// Also train the classifier alone on the frozen encoder
    #[arg(long)]
    probe: bool,

    /// Also test on this set, which nobody learns from: KIND:PATH; may be given again
    #[arg(long, value_name = "KIND:PATH")]
    test: Vec<DatasetSpec>,

    /// Write into this folder; what it has by now is not done again
    #[arg(short, long, value_name = "DIR", default_value = "runs/cross-validation")]
    output: PathBuf,

    /// What computes
    #[arg(long, value_enum, default_value_t)]
    device: DeviceChoice,

    #[command(flatten)]
    options: Options,
}

pub(super) fn run(args: &Args, config: &Config) -> anyhow::Result<ExitCode> {
    let recipes = args.recipes.iter().map(|path| args.options.recipe(path)).collect::<anyhow::Result<Vec<Recipe>>>()?;
    for (recipe, path) in recipes.iter().zip(&args.recipes) {
        recipe.check_second_stage(path)?;
    }
    if let Some(twice) =
        recipes.iter().enumerate().find(|(n, one)| recipes[..*n].iter().any(|other| other.name == one.name))
    {
        anyhow::bail!("two recipes are named `{}`; give each a name of its own", twice.1.name);
    }
    if args.labels.iter().any(|share| !(*share > 0.0 && *share <= 1.0)) {
        let message = "`--labels` are shares above 0, at most 1";
        crate::commands::Cli::command().error(ErrorKind::ValueValidation, message).exit();
    }
    let all_sets = sets(&recipes, &args.options.data);
    let names: Vec<String> = args.test.iter().map(DatasetSpec::name).collect();
    if let Some(twice) = names.iter().enumerate().find(|(n, name)| names[..*n].contains(name)) {
        anyhow::bail!("two sets of `--test` are called {}: rename the folder of one", twice.1);
    }
    check_unlearnt("--test", &args.test, &all_sets)?;
    let faces = args.options.faces(&all_sets, config)?;
    let named = |set: &DatasetSpec| Ok((set.name(), args.options.faces(std::slice::from_ref(set), config)?));
    let tests = args.test.iter().map(named).collect::<anyhow::Result<Vec<_>>>()?;
    let recipes: Vec<Recipe> = recipes.iter().map(|recipe| rooted(recipe, &args.options.data)).collect();

    let conditions = conditions(args, &faces.views);
    let mut cells = Vec::new();
    for condition in &conditions {
        for (recipe, of) in recipes.iter().enumerate() {
            let seeds = if args.seeds.is_empty() { vec![of.seed] } else { args.seeds.clone() };
            cells.extend(seeds.into_iter().map(|seed| Wanted { condition: condition.clone(), recipe, seed }));
        }
    }
    let device = device::open(args.device)?;
    let made = provenance(SPLIT_SEED, &device);
    let study = Study {
        recipes: &recipes,
        faces: &faces,
        tests: &tests,
        by: args.split,
        folds: args.folds.into(),
        only_folds: &args.only_folds,
        split_seed: SPLIT_SEED,
        cells: &cells,
        device: &device,
        made: &made,
        folder: &args.output,
    };
    let mut dashboard = Dashboard::new("cross-validation", stop_on_signal()?);
    let cells = study.run(&mut dashboard)?;
    drop(dashboard);
    let mut notes = Vec::new();
    for recipe in &recipes {
        notes.extend((!recipe.about.is_empty()).then(|| format!("`{}`: {}", recipe.name, recipe.about)));
        notes.extend(degenerate(recipe, &faces)?.into_iter().map(|note| format!("`{}` here: {note}", recipe.name)));
    }
    let comparison = Comparison {
        title: "Cross-validation".to_owned(),
        about: format!(
            "{} folds, split {}; every recipe is trained on the same people.",
            args.folds,
            args.split.words(&faces)
        ),
        seed: SPLIT_SEED,
        cells: &cells,
        baseline: recipes.first().filter(|_| recipes.len() > 1).map(|recipe| recipe.name.clone()),
        notes,
    };
    writeln!(std::io::stdout(), "{}", comparison.write(&args.output, "report")?)?;
    Ok(ExitCode::SUCCESS)
}

/// What of the method of a recipe's first stage these faces do not allow.
fn degenerate(recipe: &Recipe, faces: &Faces) -> anyhow::Result<Vec<String>> {
    let Some(stage) = &recipe.pretrain else { return Ok(Vec::new()) };
    let parts = Parts::of(recipe, faces, &Split { train: faces.all(), ..Split::default() })?;
    Ok(stage.method.method(faces, &parts.pretrain)?.notes())
}

/// What the options ask for: all labels and views first.
fn conditions(args: &Args, views: &[String]) -> Vec<Condition> {
    let mut conditions: Vec<Condition> =
        args.labels.iter().map(|&labels| Condition { labels, ..Condition::FULL }).collect();
    if args.leave_view_out {
        let without = |view: &String| Condition { without_view: Some(view.clone()), ..Condition::FULL };
        conditions.extend(views.iter().map(without));
    }
    if args.probe {
        conditions.push(Condition { probe: true, ..Condition::FULL });
    }
    conditions
}
