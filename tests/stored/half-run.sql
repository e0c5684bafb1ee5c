BEGIN TRANSACTION;
CREATE TABLE alembic_version (
	version_num VARCHAR(32) NOT NULL, 
	CONSTRAINT alembic_version_pkc PRIMARY KEY (version_num)
);
INSERT INTO "alembic_version" VALUES('v3.2.0.a');
CREATE TABLE studies (
	study_id INTEGER NOT NULL, 
	study_name VARCHAR(512) NOT NULL, 
	PRIMARY KEY (study_id)
);
INSERT INTO "studies" VALUES(1,'half-run');
CREATE TABLE study_directions (
	study_direction_id INTEGER NOT NULL, 
	direction VARCHAR(8) NOT NULL, 
	study_id INTEGER NOT NULL, 
	objective INTEGER NOT NULL, 
	PRIMARY KEY (study_direction_id), 
	UNIQUE (study_id, objective), 
	FOREIGN KEY(study_id) REFERENCES studies (study_id)
);
INSERT INTO "study_directions" VALUES(1,'MAXIMIZE',1,0);
CREATE TABLE study_system_attributes (
	study_system_attribute_id INTEGER NOT NULL, 
	study_id INTEGER, 
	"key" VARCHAR(512), 
	value_json TEXT, 
	PRIMARY KEY (study_system_attribute_id), 
	UNIQUE (study_id, "key"), 
	FOREIGN KEY(study_id) REFERENCES studies (study_id)
);
CREATE TABLE study_user_attributes (
	study_user_attribute_id INTEGER NOT NULL, 
	study_id INTEGER, 
	"key" VARCHAR(512), 
	value_json TEXT, 
	PRIMARY KEY (study_user_attribute_id), 
	UNIQUE (study_id, "key"), 
	FOREIGN KEY(study_id) REFERENCES studies (study_id)
);
INSERT INTO "study_user_attributes" VALUES(1,1,'lease','{"host": "elsewhere", "pid": 1, "token": "06b3634e31a1cbad", "beat": 0.0}');
INSERT INTO "study_user_attributes" VALUES(2,1,'identity','{"version": 1, "model": "928bc3e35bd79818fbe9d847d259e00cd8b93e622adc54c97cdab68318d47c9e", "search": {"rule": {"choice": ["gamma", "epsilon"]}, "gamma1": {"log": [0.01, 10.0], "zero": true}, "gamma2": {"log": [0.1, 1.0], "zero": true}, "eps": {"linear": [0.0, 0.5]}}, "composite": {"pixel": {"layers": ["features.0"], "rule": "z_box", "stabilizer": 1e-06}, "early": {"layers": ["features.1..features.9"], "rule": "gamma", "gamma": "$gamma1", "stabilizer": 1e-06, "bias": "kept", "pooling": "sum"}, "late": {"layers": ["features.10..features.19"], "rule": "$rule", "gamma": "$gamma2", "epsilon": "$eps", "stabilizer": 1e-06}, "default": {"layers": [], "rule": "zero", "stabilizer": 1e-06, "stabilize": "clip"}}, "evaluation": {"protocol": "default", "patch": 16, "schedule": "quadratic", "steps": null, "perturbation": "mean", "score": "logit", "seed": 0}, "objective": "srg", "constraints": {"unexplained": 0.5}, "baselines": ["decreasing_gamma", "epsilon_gamma_box"], "sampler": {"name": "tpe", "seed": 0}, "images": [{"id": "scenes/search/0/0", "content": "68c518d583f335a397bb8ba2eae6d1d03a3a9802f7b4a518191fc874a62a450d", "target": 0}, {"id": "scenes/search/0/1", "content": "70c3f720d9ff101d175a6dca0d7d035b36f3aa9a371cd1ad314b9c5b1ca31a32", "target": 1}, {"id": "scenes/search/0/2", "content": "eb6feb0d3e3ef2a17db45be49adb3777f97f1b948009241264ec1950646a7a5d", "target": 2}, {"id": "scenes/search/0/3", "content": "9f6db777ea724869852d1e7a96ac08dde7f03986cd5f254cfba1ebc29b1c0176", "target": 3}, {"id": "scenes/validation/0/0", "content": "f4735883bb2ea56ce391481876358fe614132ecc3774c05a45b779755ccecb1b", "target": 0}, {"id": "scenes/validation/0/1", "content": "8356b0006f53be708eacc3eaa1c61d9a01c001ed048c06c60bb82eca54a2983d", "target": 1}, {"id": "scenes/validation/0/2", "content": "21860ad050482d148967f6dafa654ad555998eef33af59a70e831e00cc7791cd", "target": 2}]}');
INSERT INTO "study_user_attributes" VALUES(3,1,'spec_hash','"5fc82368250c9ddaa4f9c5479595c1dc0acc864f57d203e3c6f2bb56462a00d7"');
INSERT INTO "study_user_attributes" VALUES(4,1,'spec_text','"version: 1\nname: half-run\nmodel: {embedded: scenes}\ndata:\n  embedded: scenes\n  target: label\n  split: {search: 4, validation: 3, seed: 0}\nsearch:\n  rule: {choice: [gamma, epsilon]}\n  gamma1: {log: [0.01, 10.0], zero: true}\n  gamma2: {log: [0.1, 1.0], zero: true}\n  eps: {linear: [0.0, 0.5]}\ncomposite:\n  - {block: pixel, layers: features.0, rule: z_box}\n  - {block: early, layers: features.1..features.9, rule: gamma, gamma: $gamma1, bias: kept, pooling: sum}\n  - {block: late,  layers: features.10..features.19, rule: $rule, gamma: $gamma2, epsilon: $eps}\n  - {block: default, rule: zero, stabilize: clip}\nevaluation: {patch: 16, perturbation: mean}\nobjective: srg\nconstraints: {unexplained: 0.5}\nbaselines: [decreasing_gamma, epsilon_gamma_box]\nsampler: {name: tpe, seed: 0}\ntrials: 8\nrun: {device: cpu, cpus: 1, cache_gb: 0.1}\n"');
INSERT INTO "study_user_attributes" VALUES(5,1,'objective','"srg"');
INSERT INTO "study_user_attributes" VALUES(6,1,'direction','"maximize"');
INSERT INTO "study_user_attributes" VALUES(7,1,'axes','[{"name": "rule", "log": false, "zero_at": null, "categories": ["gamma", "epsilon"]}, {"name": "gamma1", "log": true, "zero_at": 0.005011872336272723, "categories": []}, {"name": "gamma2", "log": true, "zero_at": 0.07943282347242815, "categories": []}, {"name": "eps", "log": false, "zero_at": null, "categories": []}]');
INSERT INTO "study_user_attributes" VALUES(8,1,'planned','8');
INSERT INTO "study_user_attributes" VALUES(9,1,'provenance','{"started": "2026-11-21T15:40:49+00:00", "device": "cpu", "score": "logit", "versions": {"lrpsweep": "0.1.0", "torch": "2.15.0", "torchvision": "0.29.2", "opencv-python-headless": "5.0.0.93", "optuna": "5.0.0", "ray": "2.60.0"}}');
CREATE TABLE trial_heartbeats (
	trial_heartbeat_id INTEGER NOT NULL, 
	trial_id INTEGER NOT NULL, 
	heartbeat DATETIME NOT NULL, 
	PRIMARY KEY (trial_heartbeat_id), 
	UNIQUE (trial_id), 
	FOREIGN KEY(trial_id) REFERENCES trials (trial_id)
);
CREATE TABLE trial_intermediate_values (
	trial_intermediate_value_id INTEGER NOT NULL, 
	trial_id INTEGER NOT NULL, 
	step INTEGER NOT NULL, 
	intermediate_value FLOAT, 
	intermediate_value_type VARCHAR(7) NOT NULL, 
	PRIMARY KEY (trial_intermediate_value_id), 
	UNIQUE (trial_id, step), 
	FOREIGN KEY(trial_id) REFERENCES trials (trial_id)
);
CREATE TABLE trial_params (
	param_id INTEGER NOT NULL, 
	trial_id INTEGER, 
	param_name VARCHAR(512), 
	param_value FLOAT, 
	distribution_json TEXT, 
	PRIMARY KEY (param_id), 
	UNIQUE (trial_id, param_name), 
	FOREIGN KEY(trial_id) REFERENCES trials (trial_id)
);
INSERT INTO "trial_params" VALUES(1,1,'gamma1',2.93411985657325735665e-01,'{"name": "FloatDistribution", "attributes": {"step": null, "low": 0.005011872336272723, "high": 10.0, "log": true}}');
INSERT INTO "trial_params" VALUES(2,1,'rule',0.0,'{"name": "CategoricalDistribution", "attributes": {"choices": ["gamma", "epsilon"]}}');
INSERT INTO "trial_params" VALUES(3,1,'gamma2',2.11388971965683014619e-01,'{"name": "FloatDistribution", "attributes": {"step": null, "low": 0.07943282347242815, "high": 1.0, "log": true}}');
INSERT INTO "trial_params" VALUES(4,2,'gamma1',8.15898372306650898622e+00,'{"name": "FloatDistribution", "attributes": {"step": null, "low": 0.005011872336272723, "high": 10.0, "log": true}}');
INSERT INTO "trial_params" VALUES(5,2,'rule',1.0,'{"name": "CategoricalDistribution", "attributes": {"choices": ["gamma", "epsilon"]}}');
INSERT INTO "trial_params" VALUES(6,2,'eps',5.22695756097473207546e-02,'{"name": "FloatDistribution", "attributes": {"step": null, "low": 0.0, "high": 0.5, "log": false}}');
INSERT INTO "trial_params" VALUES(7,3,'gamma1',3.62189882926636785853e-01,'{"name": "FloatDistribution", "attributes": {"step": null, "low": 0.005011872336272723, "high": 10.0, "log": true}}');
INSERT INTO "trial_params" VALUES(8,3,'rule',1.0,'{"name": "CategoricalDistribution", "attributes": {"choices": ["gamma", "epsilon"]}}');
INSERT INTO "trial_params" VALUES(9,3,'eps',4.33474994815161718264e-01,'{"name": "FloatDistribution", "attributes": {"step": null, "low": 0.0, "high": 0.5, "log": false}}');
INSERT INTO "trial_params" VALUES(10,4,'gamma1',1.91105210626984683974e-01,'{"name": "FloatDistribution", "attributes": {"step": null, "low": 0.005011872336272723, "high": 10.0, "log": true}}');
INSERT INTO "trial_params" VALUES(11,4,'rule',0.0,'{"name": "CategoricalDistribution", "attributes": {"choices": ["gamma", "epsilon"]}}');
INSERT INTO "trial_params" VALUES(12,4,'gamma2',3.79902895736798473791e-01,'{"name": "FloatDistribution", "attributes": {"step": null, "low": 0.07943282347242815, "high": 1.0, "log": true}}');
INSERT INTO "trial_params" VALUES(13,5,'gamma1',1.81898191212134241467e-01,'{"name": "FloatDistribution", "attributes": {"step": null, "low": 0.005011872336272723, "high": 10.0, "log": true}}');
INSERT INTO "trial_params" VALUES(14,5,'rule',0.0,'{"name": "CategoricalDistribution", "attributes": {"choices": ["gamma", "epsilon"]}}');
INSERT INTO "trial_params" VALUES(15,5,'gamma2',2.85505908493360327504e-01,'{"name": "FloatDistribution", "attributes": {"step": null, "low": 0.07943282347242815, "high": 1.0, "log": true}}');
CREATE TABLE trial_system_attributes (
	trial_system_attribute_id INTEGER NOT NULL, 
	trial_id INTEGER, 
	"key" VARCHAR(512), 
	value_json TEXT, 
	PRIMARY KEY (trial_system_attribute_id), 
	UNIQUE (trial_id, "key"), 
	FOREIGN KEY(trial_id) REFERENCES trials (trial_id)
);
INSERT INTO "trial_system_attributes" VALUES(1,1,'constraints:unexplained','-0.4999998948868484');
INSERT INTO "trial_system_attributes" VALUES(2,2,'constraints:unexplained','-0.4999998936038056');
INSERT INTO "trial_system_attributes" VALUES(3,3,'constraints:unexplained','-0.49999985973224476');
INSERT INTO "trial_system_attributes" VALUES(4,4,'constraints:unexplained','-0.49999988245364746');
INSERT INTO "trial_system_attributes" VALUES(5,5,'constraints:unexplained','-0.49999985476136727');
CREATE TABLE trial_user_attributes (
	trial_user_attribute_id INTEGER NOT NULL, 
	trial_id INTEGER, 
	"key" VARCHAR(512), 
	value_json TEXT, 
	PRIMARY KEY (trial_user_attribute_id), 
	UNIQUE (trial_id, "key"), 
	FOREIGN KEY(trial_id) REFERENCES trials (trial_id)
);
INSERT INTO "trial_user_attributes" VALUES(1,1,'values','{"rule": "gamma", "gamma1": 0.29341198565732574, "gamma2": 0.21138897196568301}');
INSERT INTO "trial_user_attributes" VALUES(2,1,'result','{"scores": [-1.1660508523054887, -2.5717130079865456, -1.8916025597136468, -0.3913358682766557], "curve": [6.424049258232117, 5.144191145896912, 1.9331200569868088, 0.08662555293994956, 0.008019889908609912], "curve_low": [6.259514689445496, 5.057560920715332, 1.273404285311699, 0.011804426758317277, -0.00952505980967544], "curve_high": [6.794800043106079, 6.373871684074402, 2.618779957294464, 0.11068278271704912, 0.025671819923445582], "flipped": [0.0, 0.0625, 0.25, 0.5625, 1.0], "balance": {"bias": 1.1244588378689138, "stabilizer": 1.7824572198048382e-06, "unexplained": 1.0511315163739304e-07}, "hot_spot": 0.007963068201238876, "seconds": {"explain": 0.03529932999998664, "perturb": 0.00874596900001734, "score": 0.025695337999991352}, "device": "cpu", "blocks": {"pixel": {"bias": 0.0, "stabilizer": 1.3934300672301719e-08, "unexplained": 6.761769485502533e-09, "hot_spot": 0.007963063505149913}, "early": {"bias": 0.6022662092051176, "stabilizer": 3.9189259869566897e-08, "unexplained": 1.3006661469432108e-08, "hot_spot": 0.012496373730047696}, "late": {"bias": 0.5121985179550536, "stabilizer": 1.7663388849565026e-06, "unexplained": 6.670978567767041e-08, "hot_spot": 0.022947440751466146}, "default": {"bias": 0.01044726553864464, "stabilizer": 9.27376596607919e-09, "unexplained": 6.382179807693677e-08, "hot_spot": 0.3007674667823681}}, "unstable": "", "wall_seconds": 0.07212246299997105}');
INSERT INTO "trial_user_attributes" VALUES(3,2,'values','{"rule": "epsilon", "gamma1": 8.158983723066509, "eps": 0.05226957560974732}');
INSERT INTO "trial_user_attributes" VALUES(4,2,'result','{"scores": [-2.5334031815000344, 0.3150804899632931, 1.9832855004351586, 1.787580706179142], "curve": [6.424049258232117, 2.359480895102024, 1.0309505809564143, 0.0832179153803736, 0.008019889908609912], "curve_low": [6.259514689445496, 1.2696214690804482, 0.0015076098497956991, 0.0015076098497956991, -0.00952505980967544], "curve_high": [6.794800043106079, 3.1048343777656555, 1.2563220337033272, 0.11757196206599474, 0.025671819923445582], "flipped": [0.0, 0.0625, 0.25, 0.5625, 1.0], "balance": {"bias": 0.9261097350867504, "stabilizer": 0.09951107254339674, "unexplained": 1.0639619439462397e-07}, "hot_spot": 0.006178201456859277, "seconds": {"explain": 0.011050040999975863, "perturb": 0.009224380000034671, "score": 0.021433755999964887}, "device": "cpu", "blocks": {"pixel": {"bias": 0.0, "stabilizer": 2.5333961983568178e-08, "unexplained": 5.285623285637995e-09, "hot_spot": 0.006178201729692533}, "early": {"bias": 0.2151882574251596, "stabilizer": 2.0726147508149806e-07, "unexplained": 1.5201790796620768e-08, "hot_spot": 0.009734637588940484}, "late": {"bias": 0.7453847094697763, "stabilizer": 0.09951116045437203, "unexplained": 4.6535131651386016e-08, "hot_spot": 0.0193536846258908}, "default": {"bias": 0.01044726553864464, "stabilizer": 9.27376596607919e-09, "unexplained": 6.382179807693677e-08, "hot_spot": 0.3007674667823681}}, "unstable": "", "wall_seconds": 0.04369026400001985}');
INSERT INTO "trial_user_attributes" VALUES(5,3,'values','{"rule": "epsilon", "gamma1": 0.3621898829266368, "eps": 0.4334749948151617}');
INSERT INTO "trial_user_attributes" VALUES(6,3,'result','{"scores": [-2.1419762978621293, -2.8460541740059853, -1.8916025597136468, -0.3913358682766557], "curve": [6.424049258232117, 5.144191145896912, 1.721713975071907, 0.08662555293994956, 0.008019889908609912], "curve_low": [6.259514689445496, 5.057560920715332, 1.1587371677160263, 0.011804426758317277, -0.00952505980967544], "curve_high": [6.794800043106079, 6.373871684074402, 2.0212144553661346, 0.11068278271704912, 0.025671819923445582], "flipped": [0.0, 0.0625, 0.25, 0.5625, 1.0], "balance": {"bias": 0.5418716009158343, "stabilizer": 0.5622209057568949, "unexplained": 1.4026775522109705e-07}, "hot_spot": 0.008284323033267108, "seconds": {"explain": 0.009750278000012713, "perturb": 0.004580750999991778, "score": 0.022319627000058517}, "device": "cpu", "blocks": {"pixel": {"bias": 0.0, "stabilizer": 1.1407899132146745e-08, "unexplained": 2.0880858330499586e-09, "hot_spot": 0.008284324280150569}, "early": {"bias": 0.308201103216594, "stabilizer": 6.47357560448625e-08, "unexplained": 1.2725539855450509e-08, "hot_spot": 0.013238802084697621}, "late": {"bias": 0.28049325847326284, "stabilizer": 0.562220991174316, "unexplained": 9.074801703923882e-08, "hot_spot": 0.024242051106991184}, "default": {"bias": 0.01044726553864464, "stabilizer": 9.27376596607919e-09, "unexplained": 6.382179807693677e-08, "hot_spot": 0.3007674667823681}}, "unstable": "", "wall_seconds": 0.03852918300003694}');
INSERT INTO "trial_user_attributes" VALUES(7,4,'values','{"rule": "gamma", "gamma1": 0.19110521062698468, "gamma2": 0.3799028957367985}');
INSERT INTO "trial_user_attributes" VALUES(8,4,'result','{"scores": [2.0243971367017366, -2.5633926168084145, -1.4304859850089997, -0.379293286241591], "curve": [6.424049258232117, 3.347470134496689, 1.126704021327896, 0.08662555293994956, 0.008019889908609912], "curve_low": [6.259514689445496, 0.9624685943126678, 0.331242664688034, 0.011804426758317277, -0.00952505980967544], "curve_high": [6.794800043106079, 6.277277827262878, 1.8734013140201569, 0.11068278271704912, 0.025671819923445582], "flipped": [0.0, 0.0625, 0.25, 0.5625, 1.0], "balance": {"bias": 1.088685932423907, "stabilizer": 1.6677302051407001e-06, "unexplained": 1.1754635252286655e-07}, "hot_spot": 0.008232225219161433, "seconds": {"explain": 0.009270088999983273, "perturb": 0.008797773999958736, "score": 0.020663236000018514}, "device": "cpu", "blocks": {"pixel": {"bias": 0.0, "stabilizer": 1.1635275731126687e-08, "unexplained": 5.268316681448571e-09, "hot_spot": 0.008232230567792206}, "early": {"bias": 0.6196497036256041, "stabilizer": 1.4101921832941077e-07, "unexplained": 1.8752181614052326e-08, "hot_spot": 0.011966462575877369}, "late": {"bias": 0.45904211808956064, "stabilizer": 1.5459590639397646e-06, "unexplained": 7.676937431717552e-08, "hot_spot": 0.022186717112024485}, "default": {"bias": 0.01044726553864464, "stabilizer": 9.27376596607919e-09, "unexplained": 6.382179807693677e-08, "hot_spot": 0.3007674667823681}}, "unstable": "", "wall_seconds": 0.040640446999987034}');
INSERT INTO "trial_user_attributes" VALUES(9,5,'values','{"rule": "gamma", "gamma1": 0.18189819121213424, "gamma2": 0.2855059084933603}');
INSERT INTO "trial_user_attributes" VALUES(10,5,'result','{"scores": [-0.01521165476879105, -2.5633926168084145, -1.3855365130584687, -0.379293286241591], "curve": [6.424049258232117, 5.144191145896912, 1.081754549377365, 0.08662555293994956, 0.008019889908609912], "curve_low": [6.259514689445496, 5.057560920715332, 0.331242664688034, 0.011804426758317277, -0.00952505980967544], "curve_high": [6.794800043106079, 6.373871684074402, 1.7385528981685638, 0.11068278271704912, 0.025671819923445582], "flipped": [0.0, 0.0625, 0.25, 0.5625, 1.0], "balance": {"bias": 1.1195630390929543, "stabilizer": 1.7012939102879584e-06, "unexplained": 1.4523863271293504e-07}, "hot_spot": 0.008069039382415882, "seconds": {"explain": 0.009614171999999144, "perturb": 0.00837485699997842, "score": 0.021197935000031976}, "device": "cpu", "blocks": {"pixel": {"bias": 0.0, "stabilizer": 1.4005148412324549e-08, "unexplained": 8.027557608455601e-09, "hot_spot": 0.008069033929776993}, "early": {"bias": 0.6276284397331375, "stabilizer": 5.665837743440349e-08, "unexplained": 1.9566855337927536e-08, "hot_spot": 0.011570456606731111}, "late": {"bias": 0.481940488651074, "stabilizer": 1.667198763056347e-06, "unexplained": 8.002841702132663e-08, "hot_spot": 0.02283314660397707}, "default": {"bias": 0.01044726553864464, "stabilizer": 9.27376596607919e-09, "unexplained": 6.382179807693677e-08, "hot_spot": 0.3007674667823681}}, "unstable": "", "wall_seconds": 0.04112265800000614}');
CREATE TABLE trial_values (
	trial_value_id INTEGER NOT NULL, 
	trial_id INTEGER NOT NULL, 
	objective INTEGER NOT NULL, 
	value FLOAT, 
	value_type VARCHAR(7) NOT NULL, 
	PRIMARY KEY (trial_value_id), 
	UNIQUE (trial_id, objective), 
	FOREIGN KEY(trial_id) REFERENCES trials (trial_id)
);
INSERT INTO "trial_values" VALUES(1,1,0,-1.50517557207058416679e+00,'FINITE');
INSERT INTO "trial_values" VALUES(2,2,0,3.88135878769389819353e-01,'FINITE');
INSERT INTO "trial_values" VALUES(3,3,0,-1.81774222496460424736e+00,'FINITE');
INSERT INTO "trial_values" VALUES(4,4,0,-5.87193687839317135512e-01,'FINITE');
INSERT INTO "trial_values" VALUES(5,5,0,-1.08585851771931629627e+00,'FINITE');
CREATE TABLE trials (
	trial_id INTEGER NOT NULL, 
	number INTEGER, 
	study_id INTEGER, 
	state VARCHAR(8) NOT NULL, 
	datetime_start DATETIME, 
	datetime_complete DATETIME, 
	PRIMARY KEY (trial_id), 
	FOREIGN KEY(study_id) REFERENCES studies (study_id)
);
INSERT INTO "trials" VALUES(1,0,1,'COMPLETE','2026-11-21 15:40:49.290109','2026-11-21 15:40:49.396862');
INSERT INTO "trials" VALUES(2,1,1,'COMPLETE','2026-11-21 15:40:49.400707','2026-11-21 15:40:49.458462');
INSERT INTO "trials" VALUES(3,2,1,'COMPLETE','2026-11-21 15:40:49.461482','2026-11-21 15:40:49.513313');
INSERT INTO "trials" VALUES(4,3,1,'COMPLETE','2026-11-21 15:40:49.516206','2026-11-21 15:40:49.570382');
INSERT INTO "trials" VALUES(5,4,1,'COMPLETE','2026-11-21 15:40:49.573353','2026-11-21 15:40:49.628217');
CREATE TABLE version_info (
	version_info_id INTEGER NOT NULL, 
	schema_version INTEGER, 
	library_version VARCHAR(256), 
	PRIMARY KEY (version_info_id), 
	CHECK (version_info_id=1)
);
INSERT INTO "version_info" VALUES(1,12,'5.0.0');
CREATE UNIQUE INDEX ix_studies_study_name ON studies (study_name);
CREATE INDEX ix_trials_study_id ON trials (study_id);
COMMIT;