SET LOCAL lock_timeout = '5s';

DROP TABLE __SCHEMA__.__TABLE__;
