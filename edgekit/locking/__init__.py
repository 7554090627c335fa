"""What a build depends on and what came of it: the files that are watched, their hashes, and the `recipe.lock` of both.

Nothing here loads torch or a runtime, so that a build which has nothing to do is over before they would be there.
"""
