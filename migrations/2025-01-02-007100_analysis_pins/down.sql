SET LOCAL lock_timeout = '5s';

DROP TABLE analysis.analysis_removals;
DROP TABLE analysis.analysis_pins;
DROP FUNCTION analysis.refuse_pin_of_removed();
