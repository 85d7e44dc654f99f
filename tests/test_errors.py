from equipot import errors


def test_the_words_of_another_library_are_cut_to_one_line():
    assert errors.brief(ValueError("no\nJSON")) == "no JSON"
    found = errors.brief(ValueError("header " + 5000 * "x" + " differs"))
    assert found.startswith("header xx") and found.endswith("xx differs") and len(found) <= 200
