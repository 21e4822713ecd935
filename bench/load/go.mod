module socksfusion/bench/load

go 1.19
