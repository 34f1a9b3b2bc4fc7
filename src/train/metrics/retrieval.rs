//! Whether a face finds itself among others seen from elsewhere: what view-invariant embeddings are for.

use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use crate::scene::Expression;

/// A face in a retrieval.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Pictured<'a> {
    /// Who it is.
    pub subject: usize,
    /// From where.
    pub view: usize,
    /// How it looks.
    pub expression: Expression,
    /// What the model made of it; any length.
    pub embedding: &'a [f32],
}

/// Mean average precision, and over how many queries.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Retrieval {
    /// Mean average precision, 0 to 1.
    pub mean_average_precision: f64,
    /// Faces that had something to be found.
    pub queries: u64,
}

/// Cross-view retrieval. Each face in turn is the query; the gallery is every face of another view than its own, of all
/// people; the same person with the same expression is what is to be found. Faces are ranked by the cosine of their
/// embeddings; equal cosines share one rank. A query with nothing to be found is left out; `None` if all are.
#[must_use]
pub fn retrieval(faces: &[Pictured<'_>]) -> Option<Retrieval> {
    let unit: Vec<Vec<f32>> = faces.iter().map(|face| of_unit_length(face.embedding)).collect();
    let precision = |query: usize| {
        let asked = &faces[query];
        let gallery = faces.iter().zip(&unit).filter(|(face, _)| face.view != asked.view);
        let mut ranked: Vec<(f32, bool)> = gallery
            .map(|(face, embedding)| {
                let cosine = unit[query].iter().zip(embedding).map(|(a, b)| a * b).sum();
                (cosine, face.subject == asked.subject && face.expression == asked.expression)
            })
            .collect();
        ranked.sort_unstable_by(|a, b| b.0.total_cmp(&a.0));
        average_precision(&ranked)
    };
    // Summed in the order of the faces, so that the number of threads does not show.
    let precisions: Vec<Option<f64>> = (0..faces.len()).into_par_iter().map(precision).collect();
    let found: Vec<f64> = precisions.into_iter().flatten().collect();
    (!found.is_empty()).then(|| Retrieval {
        mean_average_precision: found.iter().sum::<f64>() / found.len() as f64,
        queries: found.len() as u64,
    })
}

fn of_unit_length(values: &[f32]) -> Vec<f32> {
    let length = values.iter().map(|value| value * value).sum::<f32>().sqrt().max(1e-12);
    values.iter().map(|value| value / length).collect()
}

/// The sum over the ranks of (gain in recall) x (precision there); `None` with nothing relevant. `ranked` is sorted, the
/// best first.
fn average_precision(ranked: &[(f32, bool)]) -> Option<f64> {
    let relevant = ranked.iter().filter(|(_, relevant)| *relevant).count();
    let (mut seen, mut hits, mut sum) = (0, 0, 0.0);
    for equals in ranked.chunk_by(|a, b| a.0 == b.0) {
        let gained = equals.iter().filter(|(_, relevant)| *relevant).count();
        seen += equals.len();
        hits += gained;
        sum += gained as f64 * hits as f64 / seen as f64;
    }
    (relevant > 0).then(|| sum / relevant as f64)
}

#[cfg(test)]
mod tests {
    use super::super::tests::near;
    use super::*;
    use crate::scene::Expression::{Happy, Sad};

    fn pictured(subject: usize, view: usize, expression: Expression, embedding: &[f32]) -> Pictured<'_> {
        Pictured { subject, view, expression, embedding }
    }

    #[test]
    fn average_precision_is_the_hand_computed_one() {
        // Ranks of relevant ones: 1 and 3.
        let ranked = [(0.9, true), (0.8, false), (0.7, true), (0.6, false)];
        near(average_precision(&ranked).expect("two are relevant"), f64::midpoint(1.0, 2.0 / 3.0));
        assert_eq!(average_precision(&[(0.5, false)]), None);
    }

    #[test]
    fn retrieval_looks_at_other_views_alone() {
        // The nearest face of all is of the query's own view and person: it is not in the gallery.
        let faces = [
            pictured(0, 0, Happy, &[1.0, 0.0]),
            pictured(0, 0, Happy, &[1.0, 0.01]),
            pictured(0, 1, Happy, &[0.8, 0.6]),
            pictured(1, 1, Happy, &[0.9, 0.4]),
            pictured(0, 1, Sad, &[0.0, 1.0]),
        ];
        // The two of view 0 find theirs second; the third finds both of view 0, and nothing else is there. The last two
        // have nothing to find.
        let found = retrieval(&faces).expect("three queries");
        assert_eq!(found.queries, 3);
        near(found.mean_average_precision, (0.5 + 0.5 + 1.0) / 3.0);
    }

    #[test]
    fn the_order_of_faces_does_not_change_what_is_found() {
        let embeddings: Vec<[f32; 2]> = (0..30).map(|n| [(n % 7) as f32 - 3.0, (n % 5) as f32 - 1.5]).collect();
        let mut faces: Vec<Pictured<'_>> =
            embeddings.iter().enumerate().map(|(n, e)| pictured(n % 3, n % 4, [Happy, Sad][n % 2], e)).collect();
        let told = retrieval(&faces).expect("queries");
        faces.rotate_left(11);
        faces.reverse();
        near(told.mean_average_precision, retrieval(&faces).expect("queries").mean_average_precision);
    }

    #[test]
    fn embeddings_that_say_nothing_find_as_chance_does() {
        let faces: Vec<Pictured<'_>> = (0..40).map(|n| pictured(n / 4, n % 4, Happy, &[0.3, 0.4])).collect();
        // Of the 30 faces of other views, 3 are the same person's.
        near(retrieval(&faces).expect("queries").mean_average_precision, 0.1);
    }
}
