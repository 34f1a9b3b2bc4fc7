//! Where the cameras are to each other, roughly: chained through neighbours that saw the board at the same time.

use nalgebra::Isometry3;

/// What two cameras say of each other: `a_from_b` by every pose that both saw.
struct Link {
    a: usize,
    b: usize,
    shared: usize,
    a_from_b: Isometry3<f64>,
}

/// `camera_from_board` of each pose, by camera; `None` where the camera did not see it.
pub type Sights = Vec<Vec<Option<Isometry3<f64>>>>;

/// `camera_from_first` of every camera, or the groups of cameras between which there is no link.
///
/// # Errors
/// The groups, by the cameras' places.
pub fn chain(sights: &Sights) -> Result<Vec<Isometry3<f64>>, Vec<Vec<usize>>> {
    let count = sights.len();
    if count == 0 {
        return Ok(Vec::new());
    }
    let mut links: Vec<Link> =
        (0..count).flat_map(|a| (a + 1..count).map(move |b| (a, b))).filter_map(|(a, b)| link(sights, a, b)).collect();
    // The links that the most poses speak for first (Kruskal's algorithm).
    links.sort_by_key(|link| std::cmp::Reverse(link.shared));
    let mut group: Vec<usize> = (0..count).collect();
    let mut kept: Vec<&Link> = Vec::new();
    for link in &links {
        let (of_a, of_b) = (group[link.a], group[link.b]);
        if of_a != of_b {
            group.iter_mut().filter(|of| **of == of_b).for_each(|of| *of = of_a);
            kept.push(link);
        }
    }
    if kept.len() + 1 < count {
        let mut names: Vec<usize> = group.clone();
        names.sort_unstable();
        names.dedup();
        let members = |name: &usize| (0..count).filter(|camera| group[*camera] == *name).collect();
        return Err(names.iter().map(members).collect());
    }
    let mut poses: Vec<Option<Isometry3<f64>>> = vec![None; count];
    poses[0] = Some(Isometry3::identity());
    while poses.iter().any(Option::is_none) {
        for link in &kept {
            match (poses[link.a], poses[link.b]) {
                (Some(a), None) => poses[link.b] = Some(link.a_from_b.inverse() * a),
                (None, Some(b)) => poses[link.a] = Some(link.a_from_b * b),
                _ => {}
            }
        }
    }
    Ok(poses.into_iter().flatten().collect())
}

/// The pose of `b` to `a` that the others agree with best: the one with the least sum of distances to all of them.
fn link(sights: &Sights, a: usize, b: usize) -> Option<Link> {
    let both = sights[a].iter().zip(&sights[b]).filter_map(|(a, b)| Some((*a)? * (*b)?.inverse()));
    let said: Vec<Isometry3<f64>> = both.collect();
    let apart = |one: &Isometry3<f64>| said.iter().map(|other| distance(one, other)).sum::<f64>();
    let best = said.iter().min_by(|one, other| apart(one).total_cmp(&apart(other)))?;
    Some(Link { a, b, shared: said.len(), a_from_b: *best })
}

/// Metres and radians added up: what is a metre away is as far off by a radian as by a metre.
fn distance(a: &Isometry3<f64>, b: &Isometry3<f64>) -> f64 {
    (a.translation.vector - b.translation.vector).norm() + a.rotation.angle_to(&b.rotation)
}

#[cfg(test)]
mod tests {
    use super::*;
    use nalgebra::Vector3;

    fn pose(x: f64, turn: f64) -> Isometry3<f64> {
        Isometry3::new(Vector3::new(x, 0.1, 1.0), Vector3::new(0.0, turn, 0.0))
    }

    #[test]
    fn cameras_that_never_share_a_view_are_chained_through_a_neighbour() {
        let cameras = [pose(0.0, 0.0), pose(0.5, 0.4), pose(1.0, 0.8)];
        let boards = [pose(0.2, -0.3), pose(0.3, 0.2), pose(-0.1, 0.1)];
        let seen = |camera: usize, poses: &[usize]| {
            (0..3).map(|n| poses.contains(&n).then(|| cameras[camera] * boards[n])).collect::<Vec<_>>()
        };
        let found = chain(&vec![seen(0, &[0, 1]), seen(1, &[0, 1, 2]), seen(2, &[2])]).expect("they are linked");
        for (found, camera) in found.iter().zip(&cameras) {
            assert!(distance(found, &(camera * cameras[0].inverse())) < 1e-9);
        }
        assert_eq!(chain(&vec![seen(0, &[0]), seen(1, &[0]), seen(2, &[2])]), Err(vec![vec![0, 1], vec![2]]));
    }
}
