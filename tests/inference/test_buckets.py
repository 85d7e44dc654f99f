from equipot.inference import buckets


def test_a_fluctuating_number_of_edges_keeps_one_budget():
    bucket = buckets.Bucket()
    assert len({bucket.fit(96, 5000 + change) for change in (0, 60, -90, 150, -200, 10)}) == 1


def test_a_budget_grows_when_it_must():
    bucket = buckets.Bucket()
    small = bucket.fit(96, 5000)
    large = bucket.fit(96, small.edges + 1)
    assert large.edges > small.edges
    assert bucket.fit(96, 5000) == large


def test_a_budget_shrinks_only_when_it_is_far_too_large():
    bucket = buckets.Bucket()
    large = bucket.fit(96, 5000)
    assert bucket.fit(96, 4000) == large
    assert bucket.fit(96, 1000).edges < large.edges
    assert bucket.fit(10, 1000).nodes < large.nodes


def test_little_is_wasted():
    for edges in range(1000, 60000, 997):
        assert buckets.Bucket().fit(edges // 50, edges).edges <= 1.16 * edges


def test_there_is_always_room_for_the_smallest():
    assert buckets.Bucket((8, 256)).fit(3, 6).holds(8, 256)


def test_a_lattice_gets_room_for_its_liquid():
    budget = buckets.Bucket().fit(96, 4350, likely_edges=5000.0)
    assert budget.holds(96, 4900)
    assert buckets.Bucket().fit(96, 4350, likely_edges=1e6).edges < 1.3 * 4350
