SET LOCAL lock_timeout = '5s';

DROP TRIGGER trg_configurations_sealed ON setup.configurations;
DROP FUNCTION setup.refuse_unsealed_value();
