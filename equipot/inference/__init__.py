"""What drivers of a potential share: neighbor lists, padded sizes, and one compiled program."""
