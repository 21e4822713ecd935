"""``socksfusion-agent doctor``: one question a function, from the copy file to a first target."""
